"""The pieces of Kyutai's transformers as TFLite operators: norms, attention over a ring, gated feed-forward.

Conventions, the same as the text models' (so one runtime class serves both): K is [1, heads, C, D], V is
[1, heads, D, C], both written in place at slot `position mod C`; rotary rows are permuted from interleaved to
half-split order at export; 1/sqrt(D) and layer scales are folded into the rows of the weights, norm gains are not
(so the int8 weights of a q8 checkpoint pass through unchanged).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from builders.export.kyutai.config import Norm
from builders.export.kyutai.weights import Floats, Matrix, quantise_blocks, quantise_rows
from builders.tflite.writer import Graph, Model, Tensor, Weight

#: added to the score of a slot that must not be seen
HIDDEN = -1e9
INT4_BLOCK = 32


@dataclass(frozen=True)
class Precision:
    """How weights are stored: `linear` float32, int8 or int4; `table` (embeddings) float32 or int8."""

    linear: str = "int8"
    table: str = "int8"

    def matrix(self, model: Model, matrix: Matrix, name: str) -> Weight:
        """Store a linear layer's weight."""
        if self.linear == "float32":
            return model.add(matrix.floats(), name)
        if self.linear == "int4" and matrix.values.shape[1] % INT4_BLOCK == 0:
            integers, scales = quantise_blocks(matrix.floats(), INT4_BLOCK)
            return model.int4(integers, scales, INT4_BLOCK, name)
        if matrix.scale is not None:
            return model.int8(matrix.values, matrix.scale, name)
        return model.int8(*quantise_rows(matrix.floats()), name)

    def rows(self, model: Model, parts: list[Floats], name: str) -> Weight:
        """Store an embedding table of these parts, one under the other, and a last row of zeros."""
        dim = parts[0].shape[1]
        total = sum(len(part) for part in parts) + 1
        if self.table == "float32":
            return model.add(np.concatenate([*parts, np.zeros((1, dim), np.float32)]), name)
        values, scale = np.zeros((total, dim), np.int8), np.ones(total, np.float32)
        start = 0
        for part in parts:
            values[start : start + len(part)], scale[start : start + len(part)] = quantise_rows(part)
            start += len(part)
        return model.int8(values, scale, name)


@dataclass(frozen=True)
class NormWeights:
    """A norm with its stored gain and bias [dim]."""

    norm: Norm
    gain: Weight
    bias: Weight | None

    def __call__(self, g: Graph, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        if self.norm.kind == "layer":
            x = g.sub(x, g.mean(x))
        scale = g.unary("RSQRT", g.add(g.mean(g.mul(x, x)), g.floats([self.norm.eps])))
        y = g.mul(g.mul(x, scale), g.weight(self.gain))
        return y if self.bias is None else g.add(y, g.weight(self.bias))


@dataclass(frozen=True)
class FeedForward:
    """silu(a) * b gating in one matrix `up` [2 hidden, dim], or a plain GELU layer when `gating` is "none"."""

    gating: str
    hidden: int
    up: Weight
    down: Weight

    def __call__(self, g: Graph, x: Tensor) -> Tensor:
        """[1, dim] to [1, dim]."""
        y = g.linear(x, self.up)
        if self.gating == "none":
            return g.linear(g.gelu(y), self.down)
        rows = y.shape[0]
        gate = g.slice(y, [0, 0], [rows, self.hidden])
        value = g.slice(y, [0, self.hidden], [rows, self.hidden])
        active = g.mul(gate, g.unary("LOGISTIC", gate)) if self.gating == "silu" else g.gelu(gate)
        return g.linear(g.mul(active, value), self.down)


@dataclass(frozen=True)
class Heads:
    """Attention geometry: `kv` key-value heads, each serving `per` query heads of width `dim`."""

    kv: int
    per: int
    dim: int

    @property
    def query(self) -> int:
        """Number of query heads."""
        return self.kv * self.per

    def split(self, g: Graph, qkv: Tensor, rotary: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """qkv [1, (query + 2 kv) * dim] to q [1, kv, per, dim], k [1, kv, 1, dim], v [1, kv, dim, 1]."""
        h, d = self.query + self.kv, self.dim
        qk = g.reshape(g.slice(qkv, [0, 0], [1, h * d]), [h, d])
        v = g.reshape(g.slice(qkv, [0, h * d], [1, self.kv * d]), [1, self.kv, d, 1])
        if rotary is not None:
            cos, sin = rotary
            turned = g.concat([g.slice(qk, [0, d // 2], [h, d // 2]), g.slice(qk, [0, 0], [h, d // 2])], 1)
            qk = g.add(g.mul(qk, cos), g.mul(turned, sin))
        q = g.reshape(g.slice(qk, [0, 0], [self.query, d]), [1, self.kv, self.per, d])
        k = g.reshape(g.slice(qk, [self.query, 0], [self.kv, d]), [1, self.kv, 1, d])
        return q, k, v


def attend(g: Graph, q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q keys^T + mask) values: q [1, h, n, D], keys [1, h, C, D], values [1, h, D, C] to [1, h, n, D]."""
    scores = g.matmul(q, keys, transpose_b=True)
    if mask is not None:
        scores = g.add(scores, mask)
    return g.matmul(g.softmax(scores), values, transpose_b=True)


def rotary_rows(heads: int, dim: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Row order that turns an interleaved rotary projection of `heads` heads into half-split order."""
    pair = np.arange(heads * dim, dtype=np.int64).reshape(heads, dim // 2, 2)
    return np.concatenate([pair[:, :, 0], pair[:, :, 1]], axis=1).reshape(-1)


def fold_attention(matrix: Matrix, heads: Heads, *, interleaved: bool) -> Matrix:
    """The in-projection with half-split rotary rows and 1/sqrt(D) in the query rows."""
    rows = (heads.query + heads.kv) * heads.dim
    order = np.arange(len(matrix.values), dtype=np.int64)
    if interleaved:
        order[:rows] = rotary_rows(heads.query + heads.kv, heads.dim)
    gain = np.ones(len(matrix.values), np.float32)
    gain[: heads.query * heads.dim] = 1 / math.sqrt(heads.dim)
    return matrix.rows(order).times(gain)


@dataclass(frozen=True)
class Ring:
    """Per-step values every layer needs: where to write, what is visible, the rotation."""

    slot: Tensor
    mask: Tensor
    rotary: tuple[Tensor, Tensor]

    @classmethod
    def at(cls, g: Graph, position: Tensor, capacity: int, dim: int, max_period: float) -> Ring:
        """For one step at `position` int32 [1] of a ring of `capacity` slots."""
        slot = g.reshape(g.modulo(position, capacity), [])
        now = g.reshape(g.cast_float(position), [1, 1])
        index = g.floats(np.arange(capacity, dtype=np.float32).reshape(1, 1, 1, capacity))
        future = g.less(g.reshape(now, [1, 1, 1, 1]), index)
        mask = g.mul(future, g.floats([HIDDEN]))
        return cls(slot, mask, rotation(g, now, dim, max_period))


def rotation(g: Graph, positions: Tensor, dim: int, max_period: float) -> tuple[Tensor, Tensor]:
    """cos and signed sin [n, dim] of half-split rotary angles for positions [n, 1] (moshi/modules/rope.py)."""
    powers = np.arange(dim // 2, dtype=np.float32) * np.float32(-math.log(max_period) * 2 / dim)
    angles = g.mul(positions, g.floats(np.exp(powers).reshape(1, -1)))
    cos, sin = g.unary("COS", angles), g.unary("SIN", angles)
    return g.concat([cos, cos], 1), g.concat([g.mul(sin, g.floats([-1.0])), sin], 1)
