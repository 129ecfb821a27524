"""What encoder and decoder graphs are made of: matrices stored once, norms, rotary positions, attention.

The query's scale, head_dim^-½, goes into its rows' scales. The rotated dimensions, interleaved pairs in the
checkpoint, are put side by side (first halves, then second) by reordering the rows of the projections, which leaves
every dot product as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from builders.export.moonshine.weights import EMBEDDING, Floats, Precision, Weights
from builders.tflite.writer import Graph, Model, Tensor, Weight

#: added to the score of what must not be attended to
HIDDEN = -1e9
_EPSILON = 1e-5


class Layers:
    """The weights of one model on their way into a file; every graph asks here and gets the same buffers."""

    def __init__(self, model: Model, weights: Weights, precision: Precision) -> None:
        self.model, self.weights, self.precision = model, weights, precision
        self.config = weights.config
        self._stored: dict[str, Weight] = {}
        c = self.config
        turned = [*range(0, c.rotary, 2), *range(1, c.rotary, 2), *range(c.rotary, c.head_dim)]
        self._order = (np.arange(c.heads)[:, None] * c.head_dim + np.array(turned)[None]).ravel()
        self.frequencies = (c.theta ** (-np.arange(0, c.rotary, 2) / c.rotary)).astype(np.float32)

    # -- weights ----------------------------------------------------------------------------------------------

    def vector(self, name: str) -> Weight:
        """A bias or a norm's weight."""
        if name not in self._stored:
            self._stored[name] = self.model.add(np.ascontiguousarray(self.weights.take(name), np.float32), name)
        return self._stored[name]

    def embedding(self) -> Weight:
        """The table of pieces, which is the last matrix too."""
        return self.matrix(EMBEDDING, [EMBEDDING])

    def matrix(self, key: str, names: Sequence[str], gain: float = 1.0, turned: int = 0) -> Weight:
        """Matrices one below the other. gain multiplies the first; the first `turned` are reordered for rotary."""
        if key not in self._stored:
            parts = []
            for i, name in enumerate(names):
                order = self._order if i < turned else slice(None)
                factor = np.float32(gain if i == 0 else 1.0)
                if self.precision == "int8":
                    integers, scale = self.weights.rows(name)
                    parts.append((integers[order], (scale[order] * factor).astype(np.float32)))
                else:
                    parts.append((self.weights.take(name)[order] * factor, np.zeros(0, np.float32)))
            values = np.ascontiguousarray(np.concatenate([part[0] for part in parts]))
            self._stored[key] = (
                self.model.int8(values, np.concatenate([part[1] for part in parts]), key)
                if self.precision == "int8"
                else self.model.add(values, key)
            )
        return self._stored[key]

    def convolution(self, name: str, *, pad: int = 0, exact: bool = False) -> Weight:
        """A convolution's kernel [out, in, width] as the matrix over its frames side by side: [out, width * in].

        pad: zero taps appended; exact: float32 whatever the precision."""
        if name not in self._stored:
            kernel = self.weights.take(name)
            values = kernel.transpose(0, 2, 1).reshape(len(kernel), -1)
            if pad:
                values = np.concatenate([values, np.zeros((len(values), pad), np.float32)], axis=1)
            if exact or self.precision == "float32":
                self._stored[name] = self.model.add(np.ascontiguousarray(values), name)
            else:
                self._stored[name] = self.model.int8(*self._kernel_rows(name, values), name)
        return self._stored[name]

    def _kernel_rows(self, name: str, values: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
        if name in self.weights.grids:
            return self.weights.rows(name)
        return Weights(self.config, {name: values}).rows(name)

    # -- operators --------------------------------------------------------------------------------------------

    def norm(self, g: Graph, x: Tensor, name: str) -> Tensor:
        """Layer norm without a bias."""
        centred = g.sub(x, g.mean(x))
        scale = g.unary("RSQRT", g.add(g.mean(g.mul(centred, centred)), g.floats([_EPSILON])))
        return g.mul(g.mul(centred, scale), g.weight(self.vector(name)))

    def rotate(self, g: Graph, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotary positions on [frames, heads, head_dim] whose rows were turned."""
        frames, heads, size = x.shape
        half, turned = self.config.rotary // 2, self.config.rotary
        swapped = g.concat(
            [
                g.slice(x, [0, 0, half], [frames, heads, half]),
                g.slice(x, [0, 0, 0], [frames, heads, half]),
                *([g.slice(x, [0, 0, turned], [frames, heads, size - turned])] if size > turned else []),
            ],
            2,
        )
        return g.add(g.mul(x, cos), g.mul(swapped, sin))

    def heads_first(self, g: Graph, x: Tensor, first: int, *, transposed: bool = False) -> Tensor:
        """Heads `first`… of [frames, n * heads, head_dim] as [1, heads, frames, head_dim], or, transposed, with the
        last two axes exchanged."""
        heads, size, frames = self.config.heads, self.config.head_dim, x.shape[0]
        part = g.slice(x, [0, first, 0], [frames, heads, size])
        if transposed:
            return g.reshape(g.transpose(part, [1, 2, 0]), [1, heads, size, frames])
        return g.reshape(g.transpose(part, [1, 0, 2]), [1, heads, frames, size])

    def attend(self, g: Graph, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """q, k [1, heads, n, size], v [1, heads, size, n] → [rows, dim]; mask is added to the scores."""
        scores = g.softmax(g.add(g.matmul(q, k, transpose_b=True), mask))
        return self.joined(g, g.matmul(scores, v, transpose_b=True))

    def joined(self, g: Graph, x: Tensor) -> Tensor:
        """[1, heads, rows, size] → [rows, dim]."""
        return g.reshape(g.transpose(x, [0, 2, 1, 3]), [x.shape[2], self.config.dim])


def beyond(g: Graph, frames: int, valid: Tensor) -> Tensor:
    """[1, 1, 1, frames]: HIDDEN at the frames from `valid` [1, 1] on, 0 before."""
    index = g.floats(np.arange(1, frames + 1, dtype=np.float32).reshape(1, 1, 1, frames))
    past = g.maximum(g.sub(index, g.reshape(valid, [1, 1, 1, 1])), g.floats([0.0]))
    return g.mul(g.minimum(past, g.floats([1.0])), g.floats([HIDDEN]))
