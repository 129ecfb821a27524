"""Mimi's encoder and decoder as step graphs: one frame of samples in or out, all state explicit.

Layout is channels last, [1, 1, time, channels], which is what the runtime's kernels want. Every state tensor has the
same name as input and output and shares its memory, so a state is only ever written by an operator that comes after
every reader of the old one; zeros are the state before the first frame. References: moshi/modules/conv.py
(streaming convolutions), moshi/modules/resample.py, moshi/quantization/vq.py, moshi/models/compression.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from builders.export.kyutai.config import Norm
from builders.export.kyutai.layers import HIDDEN, Heads, NormWeights, Precision, attend, fold_attention, rotation
from builders.export.kyutai.weights import Matrix
from builders.export.mimi.checkpoint import MimiCheckpoint, codebook_names
from builders.export.mimi.config import decoder_stages, encoder_stages
from builders.export.mimi.waves import ConvPrecision, Waves
from builders.tflite.writer import Graph, Model, Tensor, Weight

_NORM = Norm("layer", 1e-5)
_EPSILON = 1e-5  # floor of a codebook entry's usage count (moshi/quantization/core_vq.py)


@dataclass(frozen=True)
class Block:
    """One stored transformer layer."""

    norm1: NormWeights
    qkv: Weight
    out: Weight
    norm2: NormWeights
    up: Weight
    down: Weight


class Side:
    """The encoder or the decoder: stores its weights, then builds its graph."""

    def __init__(
        self,
        model: Model,
        checkpoint: MimiCheckpoint,
        side: Literal["encoder", "decoder"],
        *,
        linear: Precision,
        conv: ConvPrecision,
    ) -> None:
        self.model, self.checkpoint, self.c = model, checkpoint, checkpoint.config
        self._linear = linear
        stages = encoder_stages(self.c) if side == "encoder" else decoder_stages(self.c)
        self.waves = Waves(model, stages, checkpoint.take, conv)
        self._blocks = [self._block(f"{side}_transformer.transformer.layers.{i}") for i in range(self.c.layers)]

    def _block(self, p: str) -> Block:
        take, c = self.checkpoint.take, self.c

        def norm(name: str) -> NormWeights:
            gain = self.model.add(take(f"{p}.{name}.weight"), f"{p}.{name}.gain")
            return NormWeights(_NORM, gain, self.model.add(take(f"{p}.{name}.bias"), f"{p}.{name}.bias"))

        def scaled(name: str, part: str) -> Matrix:
            matrix = Matrix(take(f"{p}.{name}"))
            return matrix.times(take(f"{p}.layer_scale_{part}.scale")) if c.layer_scale else matrix

        heads = Heads(c.heads, 1, c.dim // c.heads)
        store = self._linear.matrix
        return Block(
            norm("norm1"),
            store(
                self.model,
                fold_attention(Matrix(take(f"{p}.self_attn.in_projs.0.weight")), heads, interleaved=True),
                f"{p}.qkv",
            ),
            store(self.model, scaled("self_attn.out_projs.0.weight", "1"), f"{p}.out"),
            norm("norm2"),
            store(self.model, Matrix(take(f"{p}.linear1.weight")), f"{p}.up"),
            store(self.model, scaled("linear2.weight", "2"), f"{p}.down"),
        )

    # -- transformer ------------------------------------------------------------------------------------------

    def transform(self, g: Graph, x: Tensor, frame: Tensor) -> Tensor:
        """x [steps, dim] of this frame, attending over a ring of `context` steps."""
        c = self.c
        n, h, d, capacity = c.steps, c.heads, c.dim // c.heads, c.context
        position = g.mul(g.cast_float(frame), g.floats([float(n)]))
        rows = g.floats(np.arange(n, dtype=np.float32).reshape(n, 1))
        cos, sin = rotation(g, g.add(rows, g.reshape(position, [1, 1])), d, c.max_period)
        rotary = g.reshape(cos, [n, 1, d]), g.reshape(sin, [n, 1, d])
        step = g.modulo(frame, capacity // n)
        slot = g.reshape(g.mul(step, g.ints([n])), [])
        mask = self._mask(g, g.reshape(position, [1, 1, 1, 1]), g.reshape(g.cast_float(slot), [1, 1, 1, 1]))
        zero = g.ints(0)
        for i, block in enumerate(self._blocks):
            qkv = g.reshape(g.linear(block.norm1(g, x), block.qkv), [n, 3 * h, d])
            qk = g.slice(qkv, [0, 0, 0], [n, 2 * h, d])
            turned = g.concat(
                [g.slice(qk, [0, 0, d // 2], [n, 2 * h, d // 2]), g.slice(qk, [0, 0, 0], [n, 2 * h, d // 2])], 2
            )
            qk = g.add(g.mul(qk, rotary[0]), g.mul(turned, rotary[1]))
            q = g.reshape(g.transpose(g.slice(qk, [0, 0, 0], [n, h, d]), [1, 0, 2]), [1, h, n, d])
            k = g.reshape(g.transpose(g.slice(qk, [0, h, 0], [n, h, d]), [1, 0, 2]), [1, h, n, d])
            v = g.reshape(g.transpose(g.slice(qkv, [0, 2 * h, 0], [n, h, d]), [1, 2, 0]), [1, h, d, n])
            keys, values = f"state_k_{i}", f"state_v_{i}"
            ring_k = g.update(g.input(keys, [1, h, capacity, d]), k, [zero, zero, slot, zero])
            ring_v = g.update(g.input(values, [1, h, d, capacity]), v, [zero, zero, zero, slot])
            g.output(keys, ring_k)
            g.output(values, ring_v)
            y = g.transpose(attend(g, q, ring_k, ring_v, mask), [0, 2, 1, 3])
            x = g.add(x, g.linear(g.reshape(y, [n, c.dim]), block.out))
            x = g.add(x, g.linear(g.gelu(g.linear(block.norm2(g, x), block.up)), block.down))
        return x

    def _mask(self, g: Graph, position: Tensor, slot: Tensor) -> Tensor:
        """[1, 1, steps, context]: a step sees every written slot but those of the later steps of its own frame."""
        n, capacity = self.c.steps, self.c.context
        index = g.floats(np.arange(capacity, dtype=np.float32).reshape(1, 1, 1, capacity))
        rows = g.floats(np.arange(n, dtype=np.float32).reshape(1, 1, n, 1))
        unwritten = g.less(g.add(position, rows), index)
        later = g.mul(g.less(g.add(slot, rows), index), g.less(index, g.add(slot, g.floats([float(n)]))))
        hidden = g.maximum(unwritten, later)
        return g.mul(hidden, g.floats([HIDDEN]))


class Codebooks:
    """The split residual quantiser, in float32: a code is a decision, and one wrong code changes all that follow."""

    def __init__(self, model: Model, checkpoint: MimiCheckpoint, count: int) -> None:
        self.model, self.count = model, count
        self.entries: list[Weight] = []
        self.biases: list[Weight] = []
        for name in codebook_names(checkpoint.config)[:count]:
            usage = np.maximum(checkpoint.take(f"{name}.cluster_usage"), np.float32(_EPSILON))
            entries = checkpoint.take(f"{name}.embedding_sum") / usage[:, None]
            # one more entry, all zero: a codebook that is not given adds nothing; its bias keeps it from being chosen
            bias = np.append(-0.5 * (entries * entries).sum(axis=1), np.float32(-1e9)).astype(np.float32)
            self.entries.append(model.add(np.concatenate([entries, np.zeros_like(entries[:1])]), name))
            self.biases.append(model.add(bias, f"{name}.bias"))
        parts = ("rvq_first", "rvq_rest")[: 1 if count == 1 else 2]
        self.into, self.out = (
            [
                model.add(checkpoint.take(f"quantizer.{part}.{way}_proj.weight")[:, :, 0], f"{part}.{way}")
                for part in parts
            ]
            for way in ("input", "output")
        )

    def encode(self, g: Graph, x: Tensor) -> Tensor:
        """x [1, dim] to codes int32 [1, count]: nearest entry, then the next codebook on what is left.

        argmin |x - e|^2 is argmax (x.e - |e|^2 / 2).
        """
        codes = []
        for part, project in enumerate(self.into):
            left = g.linear(x, project)
            chain = range(1) if part == 0 else range(1, self.count)
            for i in chain:
                code = g.argmax(g.linear(left, self.entries[i], self.biases[i]))
                codes.append(g.reshape(code, [1, 1]))
                if i != chain[-1]:
                    left = g.sub(left, g.lookup(code, self.entries[i]))
        return g.concat(codes, 1) if len(codes) > 1 else codes[0]

    def decode(self, g: Graph, codes: Tensor) -> Tensor:
        """codes int32 [1, count] to [1, dim]."""
        total: list[Tensor] = []
        for part, project in enumerate(self.out):
            chain = range(1) if part == 0 else range(1, self.count)
            looked = [g.lookup(g.reshape(g.slice(codes, [0, i], [1, 1]), [1]), self.entries[i]) for i in chain]
            value = looked[0] if len(looked) == 1 else g.sum(g.concat(looked, 0), 0)
            total.append(g.linear(value, project))
        return total[0] if len(total) == 1 else g.add(*total)


def encode_graph(model: Model, side: Side, codebooks: Codebooks) -> Graph:
    """Add `encode`: pcm [1, 1, frame_samples] to codes int32 [1, n_q]."""
    c = side.c
    g = model.graph("encode")
    pcm = g.input("pcm", [1, 1, c.frame_samples])
    frame = g.input("input_pos", [1], "int32")
    x = side.waves(g, g.reshape(pcm, [1, 1, c.frame_samples, 1]))
    x = side.transform(g, g.reshape(x, [c.steps, c.dim]), frame)
    # downsampling repeats the first step to the left of the first frame (pad_mode "replicate")
    state = g.input("state_downsample", [c.steps, c.dim])
    first = g.reshape(g.less(g.cast_float(frame), g.floats([1.0])), [1, 1])
    opening = g.mul(first, g.slice(x, [0, 0], [1, c.dim]))
    past = g.add(g.mul(state, g.sub(g.floats([1.0]), first)), opening)
    joined = g.concat([past, x], 0)
    g.output("state_downsample", g.slice(joined, [c.steps, 0], [c.steps, c.dim]))
    kernel = side.checkpoint.take("downsample.conv.conv.conv.weight").transpose(0, 2, 1)
    flat = model.add(np.ascontiguousarray(kernel.reshape(c.dim, -1)), "downsample")
    x = g.linear(g.reshape(joined, [1, 2 * c.steps * c.dim]), flat)
    g.output("codes", codebooks.encode(g, x))
    return g


def decode_graph(model: Model, side: Side, codebooks: Codebooks) -> Graph:
    """Add `decode`: codes int32 [1, n_q] to pcm [1, 1, frame_samples]."""
    c = side.c
    g = model.graph("decode")
    codes = g.input("codes", [1, codebooks.count], "int32")
    frame = g.input("input_pos", [1], "int32")
    x = codebooks.decode(g, codes)
    kernel = model.add(
        np.ascontiguousarray(side.checkpoint.take("upsample.convtr.convtr.convtr.weight")[:, 0].T), "upsample"
    )
    spread = g.mul(x, g.weight(kernel))  # depthwise: one step becomes 2 * steps, half of which overlap the next
    state = g.input("state_upsample", [c.steps, c.dim])
    x = g.add(g.slice(spread, [0, 0], [c.steps, c.dim]), state)
    joined = g.concat([x, g.slice(spread, [c.steps, 0], [c.steps, c.dim])], 0)
    g.output("state_upsample", g.slice(joined, [c.steps, 0], [c.steps, c.dim]))
    x = side.transform(g, x, frame)
    x = side.waves(g, g.reshape(x, [1, 1, c.steps, c.dim]))
    g.output("pcm", g.reshape(x, [1, 1, c.frame_samples]))
    return g
