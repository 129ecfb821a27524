"""The encoder as a step graph: 80 ms of samples and its state in, eight codes out.

Every state is zero before the first frame, which is what the causal padding of training stands for. Names, layout
and the sharing of a state's input with its output are those of the runtime's codec class (docs/speech-package.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from builders.export.kyutai.config import Norm
from builders.export.kyutai.layers import NormWeights, Precision
from builders.export.kyutai.weights import Matrix
from builders.speech.features import filterbank, window
from builders.speech.hearing.network import SPACING, grid
from builders.speech.shape import (
    CODEBOOKS,
    DIGITS,
    FLOOR,
    FRAME,
    HOP,
    MEAN,
    N_FFT,
    SPREAD,
    STEPS,
    WINDOW,
)
from builders.tflite.writer import Graph, Model, Tensor, Weight

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
#: torch's own for LayerNorm
_NORM = Norm("layer", 1e-5)


@dataclass(frozen=True)
class Layer:
    """One entry of the encoder's list: a convolution (width, stride) or a residual block (width, 0)."""

    name: str
    width: int
    stride: int


#: as `network.Encoder` is built
LAYERS = (
    Layer("0", 6, 2),
    Layer("2", 1, 1),
    Layer("3", 5, 0),
    Layer("4", 4, 2),
    Layer("5", 5, 0),
    Layer("6", 4, 2),
    Layer("7", 5, 0),
    Layer("8", 5, 0),
)


class EncoderGraph:
    """Stores the weights of a trained encoder; `build` adds the graph."""

    def __init__(self, model: Model, weights: Weights, precision: str = "int8") -> None:
        self.model, self._weights = model, weights
        self._precision = Precision(precision)
        even, odd = halves()
        self._even, self._odd = model.add(even, "transform.even"), model.add(odd, "transform.odd")
        self._bank = model.add(np.ascontiguousarray(filterbank().T), "filterbank")
        entries = (grid().numpy() * SPACING).astype(np.float32)
        self._grid = model.add(entries, "codebook")
        self._lengths = model.add((-0.5 * (entries * entries).sum(1)).astype(np.float32), "codebook.bias")

    def _linear(self, g: Graph, x: Tensor, name: str, *, exact: bool = False) -> Tensor:
        values = np.ascontiguousarray(self._weights[f"{name}.weight"], np.float32)
        stored = self.model.add(values, name) if exact else self._precision.matrix(self.model, Matrix(values), name)
        return g.linear(x, stored, self._constant(f"{name}.bias"))

    def _constant(self, name: str) -> Weight:
        return self.model.add(np.ascontiguousarray(self._weights[name], np.float32), name)

    def _norm(self, g: Graph, x: Tensor, name: str) -> Tensor:
        gain, bias = self._constant(f"{name}.weight"), self._constant(f"{name}.bias")
        return NormWeights(_NORM, gain, bias)(g, x)

    def build(self) -> Graph:
        """Add `encode`: pcm float32 [1, 1, 1280], input_pos int32 [1] → codes int32 [1, 8]."""
        g = self.model.graph("encode")
        pcm = g.reshape(g.input("pcm", [1, 1, FRAME]), [1, FRAME])
        g.input("input_pos", [1], "int32")  # the runtime's contract; the state says where time stands
        x = self._features(g, pcm)
        for layer in LAYERS:
            name = f"layers.{layer.name}"
            if layer.stride:
                x = self._conv(g, x, layer)
                if layer.name == "0":
                    x = _silu(g, x)
            else:
                x = self._block(g, x, layer, name)
        z = self._linear(g, self._norm(g, x, "norm"), "project", exact=True)
        codes = g.argmax(g.linear(g.reshape(z, [CODEBOOKS, DIGITS]), self._grid, self._lengths))
        g.output("codes", g.reshape(codes, [1, CODEBOOKS]))
        return g

    def _features(self, g: Graph, pcm: Tensor) -> Tensor:
        past = g.input("state_pcm", [1, WINDOW - HOP])
        joined = g.concat([past, pcm], 1)
        g.output("state_pcm", g.slice(joined, [0, FRAME], [1, WINDOW - HOP]))
        frames = g.concat([g.slice(joined, [0, i * HOP], [1, WINDOW]) for i in range(STEPS)], 0)
        # sample 200 is the middle: what follows it, and what goes before it turned round; sample 0 has no weight
        middle, wing = WINDOW // 2, WINDOW // 2 - 1
        after = g.slice(frames, [0, middle + 1], [STEPS, wing])
        before = g.slice(frames, [0, 1], [STEPS, wing])
        before = g.op("REVERSE_V2", [before, g.ints([1])], before.shape, options=schema.ReverseV2OptionsT())
        centre = g.slice(frames, [0, middle], [STEPS, 1])
        real = g.linear(g.concat([centre, g.add(after, before)], 1), self._even)
        imaginary = g.linear(g.sub(after, before), self._odd)
        power = g.add(g.mul(real, real), g.mul(imaginary, imaginary))
        mel = g.unary("LOG", g.add(g.linear(power, self._bank), g.floats([FLOOR])))
        return g.mul(g.sub(mel, g.floats([MEAN])), g.floats([1 / SPREAD]))

    def _past(self, g: Graph, x: Tensor, name: str, count: int) -> Tensor:
        """x [n, dim] behind the last `count` steps of the frame before."""
        state = g.input(f"state_{name}", [count, x.shape[1]])
        joined = g.concat([state, x], 0)
        g.output(f"state_{name}", g.slice(joined, [x.shape[0], 0], [count, x.shape[1]]))
        return joined

    def _conv(self, g: Graph, x: Tensor, layer: Layer) -> Tensor:
        name = f"layers.{layer.name}.linear"
        past = layer.width - layer.stride
        if past == 0 and layer.width == 1:
            return self._linear(g, x, name)
        steps, dim = x.shape
        joined = self._past(g, x, layer.name, past)
        patches = [
            g.reshape(g.slice(joined, [i * layer.stride, 0], [layer.width, dim]), [1, layer.width * dim])
            for i in range(steps // layer.stride)
        ]
        return self._linear(g, g.concat(patches, 0) if len(patches) > 1 else patches[0], name)

    def _block(self, g: Graph, x: Tensor, layer: Layer, name: str) -> Tensor:
        steps, dim = x.shape
        joined = self._past(g, x, layer.name, layer.width - 1)
        taps = self._weights[f"{name}.taps"]
        mixed: Tensor | None = None
        for i in range(layer.width):
            tap = g.weight(self.model.add(np.ascontiguousarray(taps[i : i + 1], np.float32), f"{name}.taps.{i}"))
            part = g.mul(g.slice(joined, [i, 0], [steps, dim]), tap)
            mixed = part if mixed is None else g.add(mixed, part)
        assert mixed is not None
        y = self._linear(g, self._norm(g, mixed, f"{name}.norm"), f"{name}.up")
        return g.add(x, self._linear(g, _silu(g, y), f"{name}.down"))


def halves() -> tuple[Array, Array]:
    """The transform about the middle of the window, which is symmetric: cosines for the sums [257, 200] of samples
    as far before it as after it, sines for their differences [257, 199]. Half the size of the whole transform; the
    powers are the same, since another origin of time only turns phases."""
    m = np.arange(WINDOW // 2)
    phase = 2 * np.pi * np.arange(N_FFT // 2 + 1)[:, None] * m[None] / N_FFT
    shape = window()[WINDOW // 2 + m]
    return (np.cos(phase) * shape).astype(np.float32), (np.sin(phase) * shape)[:, 1:].astype(np.float32)


def _silu(g: Graph, x: Tensor) -> Tensor:
    return g.mul(x, g.unary("LOGISTIC", x))


def state_names() -> list[str]:
    """The states of the graph, in the order they are made."""
    return ["state_pcm"] + [f"state_{layer.name}" for layer in LAYERS if layer.width > max(1, layer.stride)]
