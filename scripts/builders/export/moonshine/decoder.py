"""The graph that writes: several tokens at once, each a row that sees its own ancestors only.

`decode_<seconds>_<rows>`: tokens int32 [rows]; slot int32 [1], where the first row's key and value go (the others
follow it); positions float32 [rows]; mask float32 [1, 1, rows, slots], 0 for a row's ancestors and itself, a large
negative number for all else; valid and cross_k_i, cross_v_i as the encoder gives them; k_i [1, heads, slots, size]
and v_i [1, heads, size, slots], updated in place. logits [rows, vocab]; heard [rows, frames], how much each row
attended to each frame of the sound (mean over layers and heads), from which words get their times. A tree of readings
thus grows in one cache, and no part of it is ever copied. All row counts of a bucket share their slots.
"""

from __future__ import annotations

import numpy as np

from builders.export.moonshine.layers import Layers, beyond
from builders.tflite.writer import Graph, Tensor


def decoder_graph(layers: Layers, frames: int, rows: int, slots: int, name: str) -> Graph:
    """frames: of the encoder's bucket."""
    c = layers.config
    g = layers.model.graph(name)
    tokens, slot, valid = g.input("tokens", [rows], "int32"), g.input("slot", [1], "int32"), g.input("valid", [1, 2])
    positions, mask = g.reshape(g.input("positions", [rows]), [rows, 1]), g.input("mask", [1, 1, rows, slots])
    x = g.lookup(tokens, layers.embedding())
    hidden = beyond(g, frames, g.slice(valid, [0, 1], [1, 1]))
    cos, sin = _turn(layers, g, positions, rows)
    at = g.reshape(slot, [])
    looks: Tensor | None = None
    for i in range(c.decoder_layers):
        p = f"model.decoder.layers.{i}."
        x = _attend_self(layers, g, x, i, (cos, sin, mask, at), slots)
        query = layers.matrix(f"{p}cross_q", [f"{p}encoder_attn.q_proj.weight"], gain=c.head_dim**-0.5)
        y = g.linear(layers.norm(g, x, f"{p}post_attention_layernorm.weight"), query)
        q = layers.heads_first(g, g.reshape(y, [rows, c.heads, c.head_dim]), 0)
        k = g.input(f"cross_k_{i}", [1, c.heads, frames, c.head_dim])
        v = g.input(f"cross_v_{i}", [1, c.heads, c.head_dim, frames])
        look = g.softmax(g.add(g.matmul(q, k, transpose_b=True), hidden))
        looks = look if looks is None else g.add(looks, look)
        found = layers.joined(g, g.matmul(look, v, transpose_b=True))
        x = g.add(x, g.linear(found, layers.matrix(f"{p}cross_o", [f"{p}encoder_attn.o_proj.weight"])))
        x = g.add(x, _gated(layers, g, x, p))
    assert looks is not None
    share = g.mul(g.sum(looks, 1), g.floats([1.0 / (c.heads * c.decoder_layers)]))
    g.output("heard", g.reshape(share, [rows, frames]))
    g.output("logits", g.linear(layers.norm(g, x, "model.decoder.norm.weight"), layers.embedding()))
    return g


def _turn(layers: Layers, g: Graph, positions: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    c = layers.config
    angles = g.mul(positions, g.floats(layers.frequencies[None]))
    cos, sin = g.unary("COS", angles), g.unary("SIN", angles)
    cosines, sines = [cos, cos], [g.mul(sin, g.floats([-1.0])), sin]
    if c.head_dim > c.rotary:
        still = np.ones((rows, c.head_dim - c.rotary), np.float32)
        cosines.append(g.floats(still))
        sines.append(g.floats(0 * still))
    shape = [rows, 1, c.head_dim]
    return g.reshape(g.concat(cosines, 1), shape), g.reshape(g.concat(sines, 1), shape)


def _attend_self(
    layers: Layers, g: Graph, x: Tensor, i: int, turn: tuple[Tensor, Tensor, Tensor, Tensor], slots: int
) -> Tensor:
    c, rows, p = layers.config, x.shape[0], f"model.decoder.layers.{i}."
    cos, sin, mask, at = turn
    names = [f"{p}self_attn.{kind}_proj.weight" for kind in "qkv"]
    mixed = layers.matrix(f"{p}qkv", names, gain=c.head_dim**-0.5, turned=2)
    y = g.reshape(g.linear(layers.norm(g, x, f"{p}input_layernorm.weight"), mixed), [rows, 3 * c.heads, c.head_dim])
    turned = layers.rotate(g, g.slice(y, [0, 0, 0], [rows, 2 * c.heads, c.head_dim]), cos, sin)
    zero = g.ints(0)
    keys = g.update(
        g.input(f"k_{i}", [1, c.heads, slots, c.head_dim]),
        layers.heads_first(g, turned, c.heads),
        [zero, zero, at, zero],
    )
    values = g.update(
        g.input(f"v_{i}", [1, c.heads, c.head_dim, slots]),
        layers.heads_first(g, y, 2 * c.heads, transposed=True),
        [zero, zero, zero, at],
    )
    g.output(f"k_{i}", keys)
    g.output(f"v_{i}", values)
    found = layers.attend(g, layers.heads_first(g, turned, 0), keys, values, mask)
    return g.add(x, g.linear(found, layers.matrix(f"{p}o", [f"{p}self_attn.o_proj.weight"])))


def _gated(layers: Layers, g: Graph, x: Tensor, p: str) -> Tensor:
    """fc2(value * silu(gate)), value and gate being the halves of fc1."""
    c, rows = layers.config, x.shape[0]
    both = g.linear(
        layers.norm(g, x, f"{p}final_layernorm.weight"),
        layers.matrix(f"{p}fc1", [f"{p}mlp.fc1.weight"]),
        layers.vector(f"{p}mlp.fc1.bias"),
    )
    value, gate = (g.slice(both, [0, start], [rows, c.inner]) for start in (0, c.inner))
    opened = g.mul(g.mul(gate, g.unary("LOGISTIC", gate)), value)
    return g.linear(opened, layers.matrix(f"{p}fc2", [f"{p}mlp.fc2.weight"]), layers.vector(f"{p}mlp.fc2.bias"))
