"""pocket-tts's transformer as operators: several rows a run, keys and values in explicit caches.

The flow language model's cache holds every step (slot = position); Mimi's is a ring that holds a little more than
the `context` a step may look back on. K is [1, kv, C, D], V is [1, kv, D, C]; rotary rows are permuted to half-split
order, 1/sqrt(D) and layer scales are folded into the weights. Reference: pocket_tts/modules/transformer.py,
attention.py, rope.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builders.export.kyutai.config import Norm
from builders.export.kyutai.layers import HIDDEN, Heads, NormWeights, Precision, attend, fold_attention, rotation
from builders.export.kyutai.weights import Matrix
from builders.export.pocket.checkpoint import PocketCheckpoint
from builders.export.pocket.config import Stack
from builders.tflite.writer import Graph, Model, Tensor, Weight

LAYER_NORM = Norm("layer", 1e-5)


@dataclass(frozen=True)
class _Layer:
    norm1: NormWeights
    qkv: Weight
    out: Weight
    norm2: NormWeights
    up: Weight
    down: Weight


@dataclass(frozen=True)
class _Moment:
    """What every layer of one run needs: where it writes, what is visible, the rotation."""

    slot: Tensor
    mask: Tensor
    rotary: tuple[Tensor, Tensor]


class Transformer:
    """Stores the weights of a stack, then appends it to graphs."""

    def __init__(
        self, model: Model, checkpoint: PocketCheckpoint, stack: Stack, prefix: str, precision: Precision
    ) -> None:
        self._model, self._checkpoint, self.stack, self._precision = model, checkpoint, stack, precision
        self._heads = Heads(stack.kv, stack.heads // stack.kv, stack.head)
        self._layers = [self._layer(f"{prefix}.layers.{i}") for i in range(stack.layers)]

    def norm(self, name: str) -> NormWeights:
        """A stored layer norm."""
        gain, bias = (self._model.add(self._checkpoint.take(f"{name}.{part}"), name) for part in ("weight", "bias"))
        return NormWeights(LAYER_NORM, gain, bias)

    def _layer(self, p: str) -> _Layer:
        take = self._checkpoint.matrix

        def store(matrix: Matrix, name: str) -> Weight:
            return self._precision.matrix(self._model, matrix, f"{p}.{name}")

        def scaled(name: str, part: str) -> Matrix:
            matrix = take(f"{p}.{name}.weight")
            return (
                matrix.times(self._checkpoint.take(f"{p}.layer_scale_{part}.scale")) if self.stack.scaled else matrix
            )

        return _Layer(
            self.norm(f"{p}.norm1"),
            store(fold_attention(take(f"{p}.self_attn.in_proj.weight"), self._heads, interleaved=True), "qkv"),
            store(scaled("self_attn.out_proj", "1"), "out"),
            self.norm(f"{p}.norm2"),
            store(take(f"{p}.linear1.weight"), "up"),
            store(scaled("linear2", "2"), "down"),
        )

    def __call__(
        self, g: Graph, x: Tensor, position: Tensor, capacity: int, *, ring: bool = False, caches_only: bool = False
    ) -> Tensor:
        """x [n, dim] at positions position, position + 1, … (int32 [1]) → [n, dim]; reads and replaces the states
        k_i and v_i of `capacity` slots. caches_only: what follows the last layer's keys and values is left out."""
        n, s = x.shape[0], self.stack
        moment = self._moment(g, n, position, capacity, ring)
        zero = g.ints(0)
        for i, layer in enumerate(self._layers):
            q, k, v = self._split(g, g.linear(layer.norm1(g, x), layer.qkv), n, moment)
            keys, values = f"state_k_{i}", f"state_v_{i}"
            whole_k = g.update(g.input(keys, [1, s.kv, capacity, s.head]), k, [zero, zero, moment.slot, zero])
            whole_v = g.update(g.input(values, [1, s.kv, s.head, capacity]), v, [zero, zero, zero, moment.slot])
            g.output(keys, whole_k)
            g.output(values, whole_v)
            if caches_only and i == s.layers - 1:
                break
            y = self._join(g, attend(g, q, whole_k, whole_v, moment.mask), n)
            x = g.add(x, g.linear(y, layer.out))
            x = g.add(x, g.linear(g.gelu(g.linear(layer.norm2(g, x), layer.up), tanh=True), layer.down))
        return x

    def _split(self, g: Graph, qkv: Tensor, n: int, moment: _Moment) -> tuple[Tensor, Tensor, Tensor]:
        """qkv [n, (heads + 2 kv) D] to q [1, kv, per n, D], k [1, kv, n, D], v [1, kv, D, n]."""
        s, d = self.stack, self.stack.head
        per, turned_heads = s.heads // s.kv, s.heads + s.kv
        rows = g.reshape(qkv, [n, turned_heads + s.kv, d])
        qk = g.slice(rows, [0, 0, 0], [n, turned_heads, d])
        halves = [g.slice(qk, [0, 0, b], [n, turned_heads, d // 2]) for b in (d // 2, 0)]
        qk = g.add(g.mul(qk, moment.rotary[0]), g.mul(g.concat(halves, 2), moment.rotary[1]))
        q, k = g.slice(qk, [0, 0, 0], [n, s.heads, d]), g.slice(qk, [0, s.heads, 0], [n, s.kv, d])
        v = g.slice(rows, [0, turned_heads, 0], [n, s.kv, d])
        if n > 1:
            q, k, v = g.transpose(q, [1, 0, 2]), g.transpose(k, [1, 0, 2]), g.transpose(v, [1, 2, 0])
        return (
            g.reshape(q, [1, s.kv, per * n, d]),
            g.reshape(k, [1, s.kv, n, d]),
            g.reshape(v, [1, s.kv, d, n]),
        )

    def _join(self, g: Graph, y: Tensor, n: int) -> Tensor:
        """[1, kv, per n, D] to [n, heads D]."""
        s = self.stack
        y = g.reshape(y, [s.heads, n, s.head])
        return g.reshape(y if n == 1 else g.transpose(y, [1, 0, 2]), [n, s.heads * s.head])

    def _moment(self, g: Graph, n: int, position: Tensor, capacity: int, ring: bool) -> _Moment:
        s = self.stack
        first = g.cast_float(position)
        rows = g.floats(np.arange(n, dtype=np.float32).reshape(n, 1))
        cos, sin = rotation(g, g.add(rows, g.reshape(first, [1, 1])), s.head, s.max_period)
        rotary = g.reshape(cos, [n, 1, s.head]), g.reshape(sin, [n, 1, s.head])
        start = g.modulo(position, capacity) if ring else position
        # the rows of attention: for each of the heads that share keys, the n steps
        steps = np.tile(np.arange(n, dtype=np.float32), s.heads // s.kv).reshape(1, 1, -1, 1)
        now = g.add(g.floats(steps), g.reshape(first, [1, 1, 1, 1]))
        place = g.floats(np.arange(capacity, dtype=np.float32).reshape(1, 1, 1, capacity))
        if not ring:
            hidden = g.less(now, place)
        else:
            # a slot after those written now holds what was written a round ago
            at = g.reshape(g.cast_float(start), [1, 1, 1, 1])
            old = g.less(g.add(at, g.floats([n - 1.0])), place)
            written = g.sub(g.add(place, g.sub(g.reshape(first, [1, 1, 1, 1]), at)), g.mul(old, g.floats([capacity])))
            age = g.sub(now, written)
            hidden = g.maximum(
                g.maximum(g.less(written, g.floats([0.0])), g.less(age, g.floats([0.0]))),
                g.less(g.floats([s.context - 1.0]), age),
            )
        return _Moment(g.reshape(start, []), g.mul(hidden, g.floats([HIDDEN])), rotary)


def ring_capacity(context: int, steps: int) -> int:
    """Slots of a ring written `steps` at a time in which every step still finds the `context` steps up to itself."""
    return -(-(context + steps - 1) // steps) * steps
