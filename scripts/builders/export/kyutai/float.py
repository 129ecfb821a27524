"""A Kyutai model in plain numpy float32, straight from the checkpoint: what a finished package is compared with.

Written apart from the graphs on purpose: nothing is folded, permuted or quantised here, so an error in the export
shows as a difference. One matrix is in memory at a time; only a few frames are run. Conditions are left out, as in
the golden run. Reference: moshi/models/lm.py, moshi/modules/transformer.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.config import Norm
from builders.export.kyutai.temporal import text_tables
from builders.export.kyutai.weights import Floats


@dataclass(frozen=True)
class Gap:
    """How far a package is from float32: RMS of the difference over that of the logits; favourites that agree."""

    relative: float
    agree: int
    heads: int

    @classmethod
    def between(cls, found: Floats, exact: Floats) -> Gap:
        """Over rows of logits [n, card]."""
        error = math.sqrt(float(((found - exact) ** 2).mean()) / float((exact**2).mean()))
        return cls(error, int((found.argmax(-1) == exact.argmax(-1)).sum()), len(exact))

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"relative": round(self.relative, 6), "agree": self.agree, "heads": self.heads}


class FloatModel:
    """Runs frames of embedding rows, as the manifest's golden section lists them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint, self._c = checkpoint, checkpoint.config

    def text(self, rows: npt.NDArray[np.int32], offsets: Sequence[int]) -> tuple[Floats, Floats]:
        """rows [T, S] to hidden [T, dim] and text logits [T, text_card_out]."""
        c, checkpoint = self._c, self._checkpoint
        x = np.zeros((len(rows), c.dim), np.float32)
        texts = 2 if c.demux else 1
        for s in range(rows.shape[1]):
            if s < texts:
                table = text_tables(checkpoint, "text_emb")[s]
            else:
                table = checkpoint.embedding(f"emb.{s - texts}", norm=c.norm_emb)
            index = rows[:, s] - offsets[s]
            x += np.where((index < len(table))[:, None], table[np.minimum(index, len(table) - 1)], 0)
        for i in range(c.layers):
            p = f"transformer.layers.{i}"
            y = self._norm(x, f"{p}.norm1", c.norm)
            y, _ = self._attend(y, f"{p}.self_attn", 0, c.heads, c.kv_heads, None, rotary=True)
            x = x + self._scale(f"{p}.layer_scale_1", c.layer_scale) * y
            y = self._feed(self._norm(x, f"{p}.norm2", c.norm), p, c.gating)
            x = x + self._scale(f"{p}.layer_scale_2", c.layer_scale) * y
        hidden = self._norm(x, "out_norm", c.norm)
        bias = checkpoint.floats("text_linear.bias") if c.bias_proj else np.float32(0)
        return hidden, self._linear(hidden, "text_linear.weight") + bias

    def audio(self, hidden: Floats, tokens: Sequence[Sequence[int]]) -> Floats:
        """hidden [dim] and each step's token (both halves of a demultiplexed one) to logits [dep_q, card]."""
        c, d = self._c, self._c.depformer
        assert d is not None
        past: list[Any] = [None] * d.layers
        logits = []
        for q, row in enumerate(tokens):
            use = d.schedule[q]
            prefix = "depformer_text_emb" if q == 0 else f"depformer_emb.{q - 1}"
            tables = (
                text_tables(self._checkpoint, prefix)
                if q == 0
                else [self._checkpoint.embedding(prefix, norm=c.norm_emb)]
            )
            embedded = sum(table[[token]] for table, token in zip(tables, row, strict=True))
            if d.low_rank is not None and not (q == 0 and c.demux):
                embedded = self._linear(np.asarray(embedded), f"{prefix}.low_rank.weight")
            x = self._linear(hidden[None], f"depformer_in.{use if d.multi_linear else 0}.weight") + embedded
            for i in range(d.layers):
                p = f"depformer.layers.{i}"
                y = self._norm(x, f"{p}.norm1", c.norm)
                y, past[i] = self._attend(y, f"{p}.self_attn", use, d.heads, d.kv_heads, past[i], rotary=False)
                x = x + self._scale(f"{p}.layer_scale_1", d.layer_scale) * y
                y = self._feed(self._norm(x, f"{p}.norm2", c.norm), p, d.gating, f".{use}")
                x = x + self._scale(f"{p}.layer_scale_2", d.layer_scale) * y
            if d.out_norm is not None:
                x = self._norm(x, f"depformer_norms.{q}", d.out_norm)
            bias = self._checkpoint.floats(f"linears.{q}.bias") if c.bias_proj else np.float32(0)
            logits.append((self._linear(x, f"linears.{q}.weight") + bias)[0])
        return np.array(logits, np.float32)

    def _linear(self, x: Floats, name: str) -> Floats:
        return np.asarray(x @ self._checkpoint.matrix(name).floats().T, np.float32)

    def _scale(self, name: str, present: bool) -> Floats | np.float32:
        return self._checkpoint.floats(f"{name}.scale") if present else np.float32(1)

    def _norm(self, x: Floats, prefix: str, norm: Norm) -> Floats:
        gain, bias = self._checkpoint.gain(prefix, norm)
        if norm.kind == "layer":
            x = x - x.mean(axis=-1, keepdims=True)
        y = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(norm.eps)) * gain
        return np.asarray(y if bias is None else y + bias, np.float32)

    def _feed(self, x: Floats, p: str, gating: str, use: str = "") -> Floats:
        if gating == "none":
            return self._linear(_gelu(self._linear(x, f"{p}.linear1.weight")), f"{p}.linear2.weight")
        gate, value = np.split(self._linear(x, f"{p}.gating{use}.linear_in.weight"), 2, axis=-1)
        active = gate / (1 + np.exp(-gate)) if gating == "silu" else _gelu(gate)
        return self._linear(np.asarray(active * value, np.float32), f"{p}.gating{use}.linear_out.weight")

    def _attend(
        self, x: Floats, prefix: str, use: int, heads: int, kv_heads: int, past: Any, *, rotary: bool
    ) -> tuple[Floats, tuple[Floats, Floats]]:
        """Causal attention of x [T, dim] over itself, after what `past` (keys, values) holds."""
        frames, dim = x.shape
        width = dim // heads
        qkv = self._linear(x, f"{prefix}.in_projs.{use}.weight")
        q, k, v = np.split(qkv, [dim, dim + kv_heads * width], axis=-1)
        q, k, v = (part.reshape(frames, -1, width).transpose(1, 0, 2) for part in (q, k, v))
        if rotary:
            q, k = (self._rotate(part) for part in (q, k))
        if past is not None:
            k, v = np.concatenate([past[0], k], axis=1), np.concatenate([past[1], v], axis=1)
        repeat = heads // kv_heads
        scores = q @ np.repeat(k, repeat, axis=0).transpose(0, 2, 1) / math.sqrt(width)
        scores = scores + np.triu(np.full(scores.shape[1:], -np.inf, np.float32), 1 + k.shape[1] - frames)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        y = (weights @ np.repeat(v, repeat, axis=0)).transpose(1, 0, 2).reshape(frames, dim)
        return self._linear(np.asarray(y, np.float32), f"{prefix}.out_projs.{use}.weight"), (k, v)

    def _rotate(self, x: Floats) -> Floats:
        """x [heads, T, D] turned by its position; pairs are neighbours, or halves in the `rope_concat` form."""
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[1])[:, None] * self._c.max_period ** (-np.arange(half) / half)
        turn = np.exp(1j * angles)
        if self._c.rope_interleaved:
            z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
            return np.stack([z.real, z.imag], axis=-1).reshape(x.shape).astype(np.float32)
        z = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([z.real, z.imag], axis=-1).astype(np.float32)


def _gelu(x: Floats) -> Floats:
    error = np.array([math.erf(v) for v in (x / math.sqrt(2)).ravel()], np.float32).reshape(x.shape)
    return np.asarray(x * (1 + error) / 2, np.float32)
