"""The temporal transformer of a Kyutai model, as one graph per context bucket.

`temporal_{C}`: `tokens` int32 [1, S] (one row of the embedding table per stream), `input_pos` int32 [1],
`kv_cache_k_i` / `kv_cache_v_i`, and with conditioners `condition_sum` [1, dim] and
`cross_k_i` [1, H, F, D] / `cross_v_i` [1, H, D, F] / `cross_mask` [1, 1, 1, F]; out come `hidden` [1, dim],
`logits` [1, text_card], `extra_j` [1, n] and the caches. Reference: moshi/models/lm.py, `forward_text`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.config import KyutaiConfig, Norm
from builders.export.kyutai.layers import FeedForward, Heads, NormWeights, Precision, Ring, attend, fold_attention
from builders.export.kyutai.weights import Floats, Matrix
from builders.tflite.writer import Graph, Model, Tensor, Weight

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Cross:
    """A layer's cross attention: query and output projections; keys and values come from the `condition` graph."""

    norm: NormWeights
    query: Weight
    out: Weight


@dataclass(frozen=True)
class Layer:
    """One temporal layer's stored weights."""

    norm1: NormWeights
    qkv: Weight
    out: Weight
    cross: Cross | None
    norm2: NormWeights
    feed: FeedForward


@dataclass(frozen=True)
class Temporal:
    """The stored weights of the whole temporal transformer."""

    config: KyutaiConfig
    table: Weight
    layers: tuple[Layer, ...]
    norm: NormWeights
    head: Weight
    head_bias: Weight | None
    extra: tuple[Weight, ...]

    def graph(self, model: Model, capacity: int, cross_frames: int) -> Graph:
        """Add `temporal_{capacity}`."""
        c = self.config
        heads = Heads(c.kv_heads, c.heads // c.kv_heads, c.head_dim)
        g = model.graph(f"temporal_{capacity}")
        tokens = g.input("tokens", [1, c.streams], "int32")
        position = g.input("input_pos", [1], "int32")
        ring = Ring.at(g, position, capacity, c.head_dim, c.max_period)
        x = g.sum(g.lookup(g.reshape(tokens, [c.streams]), self.table), 0)
        if any(entry.fuse == "sum" for entry in c.conditioners):
            x = g.add(x, g.input("condition_sum", [1, c.dim]))
        mask = g.input("cross_mask", [1, 1, 1, cross_frames]) if c.cross_attention else None
        zero = g.ints(0)
        for i, layer in enumerate(self.layers):
            q, k, v = heads.split(g, g.linear(layer.norm1(g, x), layer.qkv), ring.rotary)
            keys = g.input(f"kv_cache_k_{i}", [1, c.kv_heads, capacity, c.head_dim])
            values = g.input(f"kv_cache_v_{i}", [1, c.kv_heads, c.head_dim, capacity])
            keys = g.update(keys, k, [zero, zero, ring.slot, zero])
            values = g.update(values, v, [zero, zero, zero, ring.slot])
            g.output(f"kv_cache_k_{i}", keys)
            g.output(f"kv_cache_v_{i}", values)
            y = g.reshape(attend(g, q, keys, values, ring.mask), [1, c.dim])
            x = g.add(x, g.linear(y, layer.out))
            if layer.cross is not None:
                assert mask is not None
                x = self._cross(g, x, layer.cross, i, mask)
            x = g.add(x, layer.feed(g, layer.norm2(g, x)))
        hidden = self.norm(g, x)
        g.output("hidden", hidden)
        g.output("logits", g.linear(hidden, self.head, self.head_bias))
        for j, extra in enumerate(self.extra):
            g.output(f"extra_{j}", g.linear(hidden, extra))
        return g

    def _cross(self, g: Graph, x: Tensor, cross: Cross, i: int, mask: Tensor) -> Tensor:
        c = self.config
        frames = mask.shape[3]
        keys = g.input(f"cross_k_{i}", [1, c.heads, frames, c.head_dim])
        values = g.input(f"cross_v_{i}", [1, c.heads, c.head_dim, frames])
        q = g.reshape(g.linear(cross.norm(g, x), cross.query), [1, c.heads, 1, c.head_dim])
        return g.add(x, g.linear(g.reshape(attend(g, q, keys, values, mask), [1, c.dim]), cross.out))


def norm_weights(model: Model, checkpoint: Checkpoint, prefix: str, norm: Norm) -> NormWeights:
    """Store a norm's gain and bias in float32."""
    gain, bias = checkpoint.gain(prefix, norm)
    return NormWeights(
        norm, model.add(gain, f"{prefix}.gain"), None if bias is None else model.add(bias, f"{prefix}.bias")
    )


def text_tables(checkpoint: Checkpoint, prefix: str) -> list[Floats]:
    """The text embedding's rows; a demultiplexed one becomes two tables, already through `out1` and `out2`."""
    c = checkpoint.config
    rows = checkpoint.embedding(prefix, norm=c.norm_emb)
    if prefix == "text_emb" and c.model_type == "hibiki":
        rows = rows.copy()
        rows[EOS] = rows[c.padding]  # an early end of sequence must read as padding (moshi/models/loaders.py)
    if not c.demux:
        return [rows]
    return [rows @ checkpoint.matrix(f"{prefix}.out{i}.weight").floats().T for i in (1, 2)]


#: the id whose embedding hibiki's loader overwrites with padding; it is the tokenizer's end of sequence
EOS = 2


def load_temporal(model: Model, checkpoint: Checkpoint, precision: Precision, progress: Progress) -> Temporal:
    """Read, quantise and store the temporal transformer layer by layer."""
    c = checkpoint.config
    progress(f"embedding table of {c.streams} streams")
    parts = text_tables(checkpoint, "text_emb")
    parts += [checkpoint.embedding(f"emb.{q}", norm=c.norm_emb) for q in range(c.n_q)]
    table = precision.rows(model, parts, "embedding")
    del parts
    layers = []
    for i in range(c.layers):
        progress(f"temporal layer {i + 1} of {c.layers}")
        layers.append(_layer(model, checkpoint, precision, f"transformer.layers.{i}"))
    bias = model.add(checkpoint.floats("text_linear.bias"), "text_linear.bias") if c.bias_proj else None
    return Temporal(
        c,
        table,
        tuple(layers),
        norm_weights(model, checkpoint, "out_norm", c.norm),
        precision.matrix(model, checkpoint.matrix("text_linear.weight"), "text_linear"),
        bias,
        # a few rows deciding the end of a turn: not worth quantising
        tuple(
            model.add(checkpoint.matrix(f"extra_heads.{j}.weight").floats(), f"extra_heads.{j}")
            for j in range(c.extra_heads)
        ),
    )


def _layer(model: Model, checkpoint: Checkpoint, precision: Precision, p: str) -> Layer:
    c = checkpoint.config
    heads = Heads(c.kv_heads, c.heads // c.kv_heads, c.head_dim)

    def scaled(name: str, part: str) -> Matrix:
        matrix = checkpoint.matrix(name)
        return matrix.times(checkpoint.floats(f"{p}.layer_scale_{part}.scale")) if c.layer_scale else matrix

    cross = None
    if c.cross_attention:
        query = checkpoint.matrix(f"{p}.cross_attention.in_projs.0.weight").rows(np.arange(c.dim, dtype=np.int64))
        cross = Cross(
            norm_weights(model, checkpoint, f"{p}.norm_cross", Norm("layer", 1e-5)),
            precision.matrix(model, query.times(np.full(c.dim, c.head_dim**-0.5, np.float32)), f"{p}.cross.query"),
            precision.matrix(model, scaled(f"{p}.cross_attention.out_projs.0.weight", "cross"), f"{p}.cross.out"),
        )
    up, down = ("linear1", "linear2") if c.gating == "none" else ("gating.linear_in", "gating.linear_out")
    qkv = fold_attention(checkpoint.matrix(f"{p}.self_attn.in_projs.0.weight"), heads, interleaved=c.rope_interleaved)
    return Layer(
        norm1=norm_weights(model, checkpoint, f"{p}.norm1", c.norm),
        qkv=precision.matrix(model, qkv, f"{p}.qkv"),
        out=precision.matrix(model, scaled(f"{p}.self_attn.out_projs.0.weight", "1"), f"{p}.out"),
        cross=cross,
        norm2=norm_weights(model, checkpoint, f"{p}.norm2", c.norm),
        feed=FeedForward(
            c.gating,
            c.hidden,
            precision.matrix(model, checkpoint.matrix(f"{p}.{up}.weight"), f"{p}.up"),
            precision.matrix(model, scaled(f"{p}.{down}.weight", "2"), f"{p}.down"),
        ),
    )
