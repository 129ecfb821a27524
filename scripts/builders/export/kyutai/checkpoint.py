"""Which tensors a Kyutai checkpoint must hold, under the published names, and how to read them.

Two layouts are published: `self_attn.in_projs.{i}.weight` (one tensor per depth step) and the older
`self_attn.in_proj_weight` (all steps stacked in rows); `Checkpoint` hides which one it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builders.export.kyutai.config import Depformer, KyutaiConfig, Norm
from builders.export.kyutai.weights import Floats, Matrix, Tensors
from noctule.core.errors import InputError

Shapes = dict[str, tuple[int, ...]]

#: stacked names and the per-step names they stand for (moshi/modules/transformer.py, _load_hook)
_STACKED = {"in_projs": ("in_proj_weight", "in_proj.weight"), "out_projs": ("out_proj.weight",)}


class Checkpoint:
    """A weights file checked against its config, read tensor by tensor under moshi's names."""

    def __init__(self, path: Path, config: KyutaiConfig) -> None:
        self.config = config
        self.tensors = Tensors(path)
        self._stacked: dict[str, tuple[str, int, int]] = {}
        linear, other = expected(config)
        shapes: Shapes = dict(other)
        steps: dict[str, int] = {}
        for name, shape in linear.items():
            for stored in self._places(name):
                if stored in self.tensors:
                    index = int(name.split(".")[-2])
                    self._stacked[name] = (stored, index * shape[0], shape[0])
                    steps[stored] = max(steps.get(stored, 0), index + 1)
                    shapes[stored] = (steps[stored] * shape[0], shape[1])
                    break
            else:
                shapes[name] = shape
        for name in [n for n in shapes if f"{n}_scb" in self.tensors]:
            shapes[f"{name}_scb"] = shapes[name][:1]
        if not config.quantised and any(name.endswith("_scb") for name in shapes):
            raise InputError(
                f"{path} is quantised, and its config does not say quantize: true",
                "use the config.json of the same repository",
            )
        # without a depth transformer the reference still makes its input projection, and never uses it
        self.tensors.expect(shapes, ignore=() if config.dep_q else ("depformer_in.",))

    @staticmethod
    def _places(name: str) -> list[str]:
        for part, stored in _STACKED.items():
            head, found, _ = name.partition(f"{part}.")
            if found:
                return [head + place for place in stored]
        return []

    def floats(self, name: str) -> Floats:
        """A tensor as float32."""
        return self.tensors.take(name)

    def matrix(self, name: str) -> Matrix:
        """A linear layer's weight [out, in]."""
        if name in self._stacked:
            stored, first, count = self._stacked[name]
            return self.tensors.matrix(stored, first, count)
        return self.tensors.matrix(name)

    def gain(self, prefix: str, norm: Norm) -> tuple[Floats, Floats | None]:
        """A norm's gain and bias, flattened; an RMS norm has no bias."""
        if norm.kind == "rms":
            return self.floats(f"{prefix}.alpha").reshape(-1), None
        return self.floats(f"{prefix}.weight"), self.floats(f"{prefix}.bias")

    def embedding(self, prefix: str, *, norm: bool) -> Floats:
        """A ScaledEmbedding's rows after its layer norm, when it has one (moshi/models/lm_utils.py)."""
        rows = self.floats(f"{prefix}.weight")
        if not norm:
            return rows
        gain, bias = self.floats(f"{prefix}.norm.weight"), self.floats(f"{prefix}.norm.bias")
        centred = rows - rows.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
        return np.asarray(centred / spread * gain + bias, np.float32)


def _norm(shapes: Shapes, prefix: str, norm: Norm, dim: int) -> None:
    if norm.kind == "rms":
        shapes[f"{prefix}.alpha"] = (1, 1, dim)
    else:
        shapes[f"{prefix}.weight"] = shapes[f"{prefix}.bias"] = (dim,)


def _embedding(
    linear: Shapes, other: Shapes, prefix: str, rows: int, dim: int, *, norm: bool, low_rank: int | None, demux: bool
) -> None:
    width = low_rank or dim
    other[f"{prefix}.weight"] = (rows, width)
    if norm:
        other[f"{prefix}.norm.weight"] = other[f"{prefix}.norm.bias"] = (width,)
    if low_rank:
        linear[f"{prefix}.low_rank.weight"] = (dim, low_rank)
    if demux:
        linear[f"{prefix}.out1.weight"] = linear[f"{prefix}.out2.weight"] = (dim, width)


def expected(c: KyutaiConfig) -> tuple[Shapes, Shapes]:
    """Name and shape of every tensor moshi's LMModel has for this config: (linear weights, all others)."""
    linear: Shapes = {}
    other: Shapes = {}
    _embedding(linear, other, "text_emb", c.text_card + 1, c.dim, norm=c.norm_emb, low_rank=None, demux=c.demux)
    for q in range(c.n_q):
        _embedding(linear, other, f"emb.{q}", c.card + 1, c.dim, norm=c.norm_emb, low_rank=None, demux=False)
    for i in range(c.layers):
        p = f"transformer.layers.{i}"
        _attention(linear, f"{p}.self_attn", c.dim, c.heads, c.kv_heads, 1)
        _norm(other, f"{p}.norm1", c.norm, c.dim)
        _norm(other, f"{p}.norm2", c.norm, c.dim)
        if c.gating == "none":
            linear[f"{p}.linear1.weight"], linear[f"{p}.linear2.weight"] = (c.hidden, c.dim), (c.dim, c.hidden)
        else:
            _gate(linear, f"{p}.gating", c.dim, c.hidden)
        if c.cross_attention:
            _attention(linear, f"{p}.cross_attention", c.dim, c.heads, c.heads, 1)
            _norm(other, f"{p}.norm_cross", Norm("layer", 1e-5), c.dim)
        for part in ("1", "2", "cross")[: 3 if c.cross_attention else 2] if c.layer_scale else ():
            other[f"{p}.layer_scale_{part}.scale"] = (c.dim,)
    _norm(other, "out_norm", c.norm, c.dim)
    linear["text_linear.weight"] = (c.text_card_out, c.dim)
    if c.bias_proj:
        other["text_linear.bias"] = (c.text_card_out,)
    for j in range(c.extra_heads):
        linear[f"extra_heads.{j}.weight"] = (c.extra_dim, c.dim)
    if c.depformer is not None:
        _depformer(linear, other, c, c.depformer)
    for entry in c.conditioners:
        p = f"condition_provider.conditioners.{entry.name}"
        if entry.kind == "lut":
            other[f"{p}.embed.weight"] = (entry.bins + 1, entry.dim)
        if entry.projected:
            linear[f"{p}.output_proj.weight"] = (c.dim, entry.dim)
        if entry.learnt_padding:
            other[f"{p}.learnt_padding"] = (1, 1, c.dim)
    return linear, other


def _attention(linear: Shapes, prefix: str, dim: int, heads: int, kv_heads: int, sets: int) -> None:
    for i in range(sets):
        linear[f"{prefix}.in_projs.{i}.weight"] = (dim + 2 * kv_heads * (dim // heads), dim)
        linear[f"{prefix}.out_projs.{i}.weight"] = (dim, dim)


def _gate(linear: Shapes, prefix: str, dim: int, hidden: int) -> None:
    linear[f"{prefix}.linear_in.weight"], linear[f"{prefix}.linear_out.weight"] = (2 * hidden, dim), (dim, hidden)


def _depformer(linear: Shapes, other: Shapes, c: KyutaiConfig, d: Depformer) -> None:
    for i in range(d.sets if d.multi_linear else 1):
        linear[f"depformer_in.{i}.weight"] = (d.dim, c.dim)
    _embedding(
        linear,
        other,
        "depformer_text_emb",
        c.text_card + 1,
        d.dim,
        norm=c.norm_emb,
        low_rank=d.low_rank,
        demux=c.demux,
    )
    for q in range(c.dep_q - 1):
        _embedding(
            linear, other, f"depformer_emb.{q}", c.card + 1, d.dim, norm=c.norm_emb, low_rank=d.low_rank, demux=False
        )
    for i in range(d.layers):
        p = f"depformer.layers.{i}"
        _attention(linear, f"{p}.self_attn", d.dim, d.heads, d.kv_heads, d.sets)
        _norm(other, f"{p}.norm1", c.norm, d.dim)
        _norm(other, f"{p}.norm2", c.norm, d.dim)
        for w in range(d.sets):
            _gate(linear, f"{p}.gating.{w}", d.dim, d.hidden[w])
        for part in ("1", "2") if d.layer_scale else ():
            other[f"{p}.layer_scale_{part}.scale"] = (d.dim,)
    for q in range(c.dep_q):
        linear[f"linears.{q}.weight"] = (c.card, d.dim)
        if c.bias_proj:
            other[f"linears.{q}.bias"] = (c.card,)
        if d.out_norm is not None:
            _norm(other, f"depformer_norms.{q}", d.out_norm, d.dim)
