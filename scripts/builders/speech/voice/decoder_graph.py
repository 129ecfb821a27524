"""The decoder as a step graph: eight codes in, 80 ms of sound out, all state explicit (docs/speech-package.md).

`decode`: `codes` int32 [1, 8] (1024: not given), `input_pos` int32 [1] (unused: the state says where time stands) and
`state_*`; `pcm` [1, 1, 1280] and the states come out. The same arithmetic as `decoder.Decoder` on a whole sequence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from builders.export.kyutai.config import Norm
from builders.export.kyutai.layers import NormWeights, Precision
from builders.export.kyutai.weights import Matrix
from builders.speech.hearing.network import grid
from builders.speech.shape import CODEBOOKS, DIGITS, FRAME, HOP, STEPS
from builders.speech.voice.decoder import BINS, CENTRE, LOUDEST, OVERLAP, DecoderShape, transform
from builders.tflite.writer import Graph, Model, Tensor, Weight

Floats = npt.NDArray[np.float32]
#: the network in int8, the transform in float16: a loud low sound must not drown the quiet high ones
NETWORK = Precision("int8", "float32")
EXACT = Precision("float32", "float32")
_NORM = Norm("layer", 1e-5)
_VALUES = CODEBOOKS * DIGITS


class DecodeGraph:
    """Stores the decoder's weights and builds its graph. weights: `Decoder.state_dict()` as float32 arrays."""

    def __init__(
        self, model: Model, weights: Mapping[str, Floats], shape: DecoderShape, network: Precision = NETWORK
    ) -> None:
        self.model, self.weights, self.shape, self.network = model, weights, shape, network

    def build(self) -> Graph:
        """Add `decode` to the file."""
        s = self.shape
        g = self.model.graph("decode")
        codes = g.input("codes", [1, CODEBOOKS], "int32")
        g.input("input_pos", [1], "int32")
        table = np.concatenate([grid().numpy(), np.zeros((1, DIGITS), np.float32)]).astype(np.float32)
        values = g.lookup(g.reshape(codes, [CODEBOOKS]), self.model.add(table, "digits"))
        window = g.concat([g.input("state_codes", [2, _VALUES]), g.reshape(values, [1, _VALUES])], 0)
        g.output("state_codes", g.slice(window, [1, 0], [2, _VALUES]))
        x = self._silu(g, self._linear(g, g.reshape(window, [1, 3 * _VALUES]), "into.linear", self.network))
        for i in range(s.front_layers):
            x = self._block(g, x, f"front.{i}")
        x = g.reshape(self._linear(g, x, "spread", self.network), [STEPS, s.dim])
        x = g.add(x, g.weight(self.model.add(self.weights["place"], "place")))
        for i in range(s.layers):
            x = self._block(g, x, f"layers.{i}")
        g.output("pcm", g.reshape(self._sound(g, self._norm(g, x, "norm")), [1, 1, FRAME]))
        return g

    def _linear(self, g: Graph, x: Tensor, name: str, precision: Precision) -> Tensor:
        weight = precision.matrix(self.model, Matrix(self.weights[f"{name}.weight"]), name)
        return g.linear(x, weight, self.model.add(self.weights[f"{name}.bias"], f"{name}.bias"))

    def _norm(self, g: Graph, x: Tensor, name: str) -> Tensor:
        gain, bias = (self.model.add(self.weights[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias"))
        return NormWeights(_NORM, gain, bias)(g, x)

    @staticmethod
    def _silu(g: Graph, x: Tensor) -> Tensor:
        return g.mul(x, g.unary("LOGISTIC", x))

    def _block(self, g: Graph, x: Tensor, name: str) -> Tensor:
        """x [rows, dim]; the last rows of the past are the state."""
        taps = self.weights[f"{name}.taps"]
        width, dim = taps.shape
        rows = x.shape[0]
        state = f"state_{name.replace('.', '_')}"
        past = g.concat([g.input(state, [width - 1, dim]), x], 0)
        g.output(state, g.slice(past, [rows, 0], [width - 1, dim]))
        parts: list[Tensor] = []
        for i in range(width):
            tap: Weight = self.model.add(np.ascontiguousarray(taps[i : i + 1]), f"{name}.taps.{i}")
            parts.append(g.mul(g.slice(past, [i, 0], [rows, dim]), g.weight(tap)))
        mixed = parts[0]
        for part in parts[1:]:
            mixed = g.add(mixed, part)
        y = self._silu(g, self._linear(g, self._norm(g, mixed, f"{name}.norm"), f"{name}.up", self.network))
        return g.add(x, self._linear(g, y, f"{name}.down", self.network))

    def _sound(self, g: Graph, x: Tensor) -> Tensor:
        """Spectra, windows, and their overlapping sum [8, 160]."""
        out = self._linear(g, x, "head", self.network)
        loud = g.add(g.slice(out, [0, 0], [STEPS, BINS]), g.floats([CENTRE]))
        magnitude = g.unary("EXP", g.minimum(loud, g.floats([LOUDEST])))
        phase = g.slice(out, [0, BINS], [STEPS, BINS])
        even, odd = (
            g.linear(g.mul(magnitude, g.unary(wave, phase)), self.model.add(basis.T.astype(np.float16), wave))
            for wave, basis in zip(("COS", "SIN"), transform(), strict=True)
        )
        back = g.slice(g.sub(even, odd), [0, 1], [STEPS, BINS - 2])
        back = g.op("REVERSE_V2", [back, g.ints([1])], back.shape, options=schema.ReverseV2OptionsT())
        windows = g.concat([g.add(even, odd), back], 1)
        late = OVERLAP - 1
        zeros = {n: g.floats(np.zeros((n, HOP), np.float32)) for n in (1, 2, 3, STEPS)}
        total = g.concat([g.input("state_overlap", [late, HOP]), zeros[STEPS]], 0)
        for j in range(OVERLAP):
            part = [g.slice(windows, [0, j * HOP], [STEPS, HOP])]
            part = [zeros[j], *part] if j else part
            total = g.add(total, g.concat([*part, zeros[late - j]] if j < late else part, 0))
        g.output("state_overlap", g.slice(total, [STEPS, 0], [late, HOP]))
        return g.slice(total, [0, 0], [STEPS, HOP])
