"""Monotonic rational-quadratic splines (Durkan et al. 2019, arXiv 1906.04032), run backwards, as graph operators.

The bin a value falls into is told by comparisons instead of a search, and its edges are summed out of a one-hot row.
"""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from builders.export.piper.operators import Layers
from builders.tflite.writer import Tensor

#: VITS's: ten bins over [-5, 5], outside of which nothing is bent, none narrower than a thousandth
_BINS, _TAIL, _LEAST = 10, 5.0, 1e-3


def spline(layers: Layers, y: Tensor, h: Tensor, hidden: int) -> Tensor:
    """y [1, 1, T, 1] bent back by the splines of h [1, 1, T, 29] (widths, heights, slopes): [1, 1, T, 1]."""
    g = layers.graph

    def at(values: Tensor) -> Tensor:
        return g.sum(g.mul(values, chosen), 3)

    left, width = _edges(layers, layers.channels(h, 0, _BINS), "widths", hidden)
    bottom, height = _edges(layers, layers.channels(h, _BINS, _BINS), "heights", hidden)
    slopes = layers.channels(h, 2 * _BINS, _BINS - 1)
    # softplus, which has no operator of its own: log(1 + exp(-|x|)) + max(x, 0)
    raised = g.unary("EXP", g.sub(g.floats([0.0]), g.unary("ABS", slopes)))
    slopes = g.add(g.unary("LOG", g.add(raised, g.floats([1.0]))), layers.relu(slopes))
    slopes = g.add(slopes, g.floats([_LEAST]))
    one = g.add(g.mul(y, g.floats([0.0])), g.floats([1.0]))  # straight at both ends
    first, last = g.concat([one, slopes], 3), g.concat([slopes, one], 3)
    inside = g.minimum(g.maximum(y, g.floats([-_TAIL])), g.floats([_TAIL]))
    reached = _reached(layers, inside, bottom)
    # chosen: the last edge that was reached; the first is always
    chosen = g.sub(reached, g.concat([layers.channels(reached, 1, _BINS - 1), g.sub(one, one)], 3))
    w, x0, tall, y0, d0, d1 = (at(values) for values in (width, left, height, bottom, first, last))
    slope = g.op("DIV", [tall, w], w.shape, options=schema.DivOptionsT())
    over, two = g.sub(inside, y0), g.floats([2.0])
    bow = g.mul(over, g.sub(g.add(d0, d1), g.mul(slope, two)))
    a = g.add(bow, g.mul(tall, g.sub(slope, d0)))
    b = g.sub(g.mul(tall, d0), bow)
    c = g.mul(g.mul(slope, over), g.floats([-1.0]))
    discriminant = g.maximum(g.sub(g.mul(b, b), g.mul(g.mul(a, c), g.floats([4.0]))), g.floats([0.0]))
    below = g.mul(g.add(b, g.unary("SQRT", discriminant)), g.floats([-1.0]))
    root = g.op("DIV", [g.mul(c, two), below], c.shape, options=schema.DivOptionsT())
    # what lies outside stays: y = inside + (y - inside), and the ends of the spline are themselves
    return g.add(g.add(g.mul(root, w), x0), g.sub(y, inside))


def _edges(layers: Layers, raw: Tensor, name: str, hidden: int) -> tuple[Tensor, Tensor]:
    """(where each of the ten bins begins, how long it is), along one axis."""
    g = layers.graph
    share = g.softmax(g.mul(raw, g.floats([1 / math.sqrt(hidden)])))
    size = g.mul(g.add(g.mul(share, g.floats([1 - _LEAST * _BINS])), g.floats([_LEAST])), g.floats([2 * _TAIL]))
    before = np.tril(np.ones((_BINS, _BINS), np.float32), -1)  # row k sums the bins before k
    start = g.linear(size, layers.store("spline.before", before, precision="float32"))
    return g.sub(start, g.floats([_TAIL])), size


def _reached(layers: Layers, y: Tensor, edges: Tensor) -> Tensor:
    """1.0 for every bin whose lower edge is at most y."""
    g = layers.graph
    flags = g.op("GREATER_EQUAL", [y, edges], edges.shape, dtype="bool", options=schema.GreaterEqualOptionsT())
    return g.cast_float(flags)
