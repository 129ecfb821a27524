"""The depth transformer of a Kyutai model: one graph per codebook, with no mask and no wasted step.

`dep_{q}`: `hidden` [1, dim], `token` int32 [1, 1] ([1, 2] for codebook 0 of a demultiplexed text stream), and
for q > 0 `kv` [layers, 2, heads, q, D], the steps already taken in this frame; out come `logits` [1, card] and
`kv_new` [layers, 2, heads, 1, D]. Reference: moshi/models/lm.py, `forward_depformer`.
"""

from __future__ import annotations

from dataclasses import dataclass

from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.config import Depformer, KyutaiConfig
from builders.export.kyutai.layers import FeedForward, Heads, NormWeights, Precision, fold_attention
from builders.export.kyutai.temporal import Progress, norm_weights, text_tables
from builders.export.kyutai.weights import Matrix
from builders.tflite.writer import Graph, Model, Tensor, Weight


@dataclass(frozen=True)
class DepthLayer:
    """One depth layer: norms shared by all steps, projections by weight set."""

    norm1: NormWeights
    qkv: tuple[Weight, ...]
    out: tuple[Weight, ...]
    norm2: NormWeights
    feed: tuple[FeedForward, ...]


@dataclass(frozen=True)
class Depth:
    """The stored weights of the depth transformer."""

    config: KyutaiConfig
    depformer: Depformer
    inputs: tuple[Weight, ...]
    tables: tuple[Weight, ...]
    expand: tuple[Weight | None, ...]
    layers: tuple[DepthLayer, ...]
    norms: tuple[NormWeights | None, ...]
    heads: tuple[Weight, ...]
    biases: tuple[Weight | None, ...]

    def graph(self, model: Model, q: int) -> Graph:
        """Add `dep_{q}`."""
        c, d = self.config, self.depformer
        heads = Heads(d.kv_heads, d.heads // d.kv_heads, d.dim // d.heads)
        use = d.schedule[q]
        g = model.graph(f"dep_{q}")
        hidden = g.input("hidden", [1, c.dim])
        width = 2 if q == 0 and c.demux else 1
        token = g.reshape(g.input("token", [1, width], "int32"), [width])
        past = g.input("kv", [d.layers, 2, heads.kv, q, heads.dim]) if q else None
        embedded = g.lookup(token, self.tables[q])
        embedded = g.sum(embedded, 0) if width > 1 else embedded
        expand = self.expand[q]
        if expand is not None:
            embedded = g.linear(embedded, expand)
        x = g.add(g.linear(hidden, self.inputs[use if d.multi_linear else 0]), embedded)
        new = []
        for i, layer in enumerate(self.layers):
            query, key, value = heads.split(g, g.linear(layer.norm1(g, x), layer.qkv[use]), None)
            value = g.reshape(value, [1, heads.kv, 1, heads.dim])
            new.append(g.concat([g.reshape(part, [1, 1, heads.kv, 1, heads.dim]) for part in (key, value)], 1))
            y = self._attend(g, heads, past, i, query, key, value)
            x = g.add(x, g.linear(g.reshape(y, [1, d.dim]), layer.out[use]))
            x = g.add(x, layer.feed[use](g, layer.norm2(g, x)))
        g.output("kv_new", g.concat(new, 0) if len(new) > 1 else new[0])
        norm = self.norms[q]
        g.output("logits", g.linear(x if norm is None else norm(g, x), self.heads[q], self.biases[q]))
        return g

    @staticmethod
    def _attend(
        g: Graph, heads: Heads, past: Tensor | None, i: int, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        """Attention over the steps of this frame; the first step sees only itself, so it takes its value."""
        if past is None:
            return value if heads.per == 1 else g.concat([value] * heads.per, 2)
        q = past.shape[3]

        def joined(part: int, now: Tensor) -> Tensor:
            before = g.slice(past, [i, part, 0, 0, 0], [1, 1, heads.kv, q, heads.dim])
            return g.concat([g.reshape(before, [1, heads.kv, q, heads.dim]), now], 2)

        scores = g.softmax(g.matmul(query, joined(0, key), transpose_b=True))
        return g.matmul(scores, joined(1, value), transpose_b=False)


def load_depth(model: Model, checkpoint: Checkpoint, precision: Precision, progress: Progress) -> Depth:
    """Read, quantise and store the depth transformer; steps that share weights share the stored bytes."""
    c, d = checkpoint.config, checkpoint.config.depformer
    assert d is not None
    progress(f"depth embeddings of {c.dep_q} codebooks")
    tables, expand = [], []
    for q in range(c.dep_q):
        prefix = "depformer_text_emb" if q == 0 else f"depformer_emb.{q - 1}"
        parts = text_tables(checkpoint, prefix) if q == 0 else [checkpoint.embedding(prefix, norm=c.norm_emb)]
        tables.append(precision.rows(model, parts, prefix))
        # a demultiplexed embedding goes through out1 and out2 instead (moshi/models/lm_utils.py)
        low_rank = d.low_rank is not None and not (q == 0 and c.demux)
        expand.append(
            precision.matrix(model, checkpoint.matrix(f"{prefix}.low_rank.weight"), f"{prefix}.low_rank")
            if low_rank
            else None
        )
    layers = []
    for i in range(d.layers):
        progress(f"depth layer {i + 1} of {d.layers}")
        layers.append(_layer(model, checkpoint, precision, d, f"depformer.layers.{i}"))
    steps = range(c.dep_q)
    return Depth(
        c,
        d,
        tuple(
            precision.matrix(model, checkpoint.matrix(f"depformer_in.{i}.weight"), f"depformer_in.{i}")
            for i in range(d.sets if d.multi_linear else 1)
        ),
        tuple(tables),
        tuple(expand),
        tuple(layers),
        tuple(
            None if d.out_norm is None else norm_weights(model, checkpoint, f"depformer_norms.{q}", d.out_norm)
            for q in steps
        ),
        tuple(precision.matrix(model, checkpoint.matrix(f"linears.{q}.weight"), f"linears.{q}") for q in steps),
        tuple(
            model.add(checkpoint.floats(f"linears.{q}.bias"), f"linears.{q}.bias") if c.bias_proj else None
            for q in steps
        ),
    )


def _layer(model: Model, checkpoint: Checkpoint, precision: Precision, d: Depformer, p: str) -> DepthLayer:
    c = checkpoint.config
    heads = Heads(d.kv_heads, d.heads // d.kv_heads, d.dim // d.heads)

    def scaled(name: str, part: str) -> Matrix:
        matrix = checkpoint.matrix(name)
        return matrix.times(checkpoint.floats(f"{p}.layer_scale_{part}.scale")) if d.layer_scale else matrix

    sets = range(d.sets)
    return DepthLayer(
        norm_weights(model, checkpoint, f"{p}.norm1", c.norm),
        tuple(
            precision.matrix(
                model,
                fold_attention(checkpoint.matrix(f"{p}.self_attn.in_projs.{w}.weight"), heads, interleaved=False),
                f"{p}.qkv.{w}",
            )
            for w in sets
        ),
        tuple(
            precision.matrix(model, scaled(f"{p}.self_attn.out_projs.{w}.weight", "1"), f"{p}.out.{w}") for w in sets
        ),
        norm_weights(model, checkpoint, f"{p}.norm2", c.norm),
        tuple(
            FeedForward(
                d.gating,
                d.hidden[w],
                precision.matrix(model, checkpoint.matrix(f"{p}.gating.{w}.linear_in.weight"), f"{p}.up.{w}"),
                precision.matrix(model, scaled(f"{p}.gating.{w}.linear_out.weight", "2"), f"{p}.down.{w}"),
            )
            for w in sets
        ),
    )
