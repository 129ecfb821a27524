"""A decoder step as a graph that exports well: one class for Llama, Gemma, Qwen and Kyutai's temporal transformers.

What makes it fast on a CPU runtime: the cache lies as the runtime reads it best (`cache`); q, k, v are one matrix
product and gate, up another; norm gains and the query scale are folded into weights (`fold`); new rows are written
by DYNAMIC_UPDATE_SLICE, which a runtime that binds a cache's input and output to one buffer does in place.

The cache is a ring: position p lives in slot p mod C. A slot's age is how many positions ago it was written; it is
readable when 0 <= age <= p and, in a sliding-window layer, age < window.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders.export.text import cache as caches
from builders.export.text.rope import Rope

MASKED = -1e9  # added to a score that must not count; finite, so a fully masked padded row stays a number


@dataclass(frozen=True)
class DecoderConfig:
    """Shapes and switches of a decoder. Per-layer tuples have one entry a layer.

    `rows`: rows of the one embedding table; `vocab`: width of the logits, 0 for a decoder without a head.
    """

    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    rows: int
    vocab: int
    ropes: tuple[Rope | None, ...]
    windows: tuple[int | None, ...]
    eps: float = 1e-5
    activation: str = "silu"  # or "gelu_tanh", "gelu"
    tied_head: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False  # an RMS norm over each head's query and key, before the rotation (Qwen3, Gemma 3)
    post_norms: bool = False  # norms on the outputs of attention and MLP too (Gemma 2 and 3)
    embedding_scale: float = 1.0
    query_scale: float | None = None  # None: 1/sqrt(head_dim)
    score_softcap: float | None = None
    logit_softcap: float | None = None
    zero_row: bool = False  # a negative token reads the table's last row (Kyutai: all zeros)

    @property
    def layers(self) -> int:
        return len(self.ropes)

    @property
    def scale(self) -> float:
        return self.head_dim**-0.5 if self.query_scale is None else self.query_scale


def rms_norm(x: Tensor, gain: Tensor | None, eps: float) -> Tensor:
    """x / RMS(x) over the last dimension, times `gain` unless it was folded away."""
    y = x * torch.rsqrt(torch.mean(x * x, -1, keepdim=True) + eps)
    return y if gain is None else y * gain


def activate(x: Tensor, kind: str) -> Tensor:
    if kind == "silu":
        return F.silu(x)
    return F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


def gain(size: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(size))


class Layer(nn.Module):
    """Weights of one layer; a norm gain that `fold` moved into a matrix is None."""

    norm_attention: nn.Parameter | None
    norm_mlp: nn.Parameter | None

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.qkv = nn.Linear(c.dim, (c.heads + 2 * c.kv_heads) * c.head_dim, bias=c.qkv_bias)  # [q; k; v]
        self.out = nn.Linear(c.heads * c.head_dim, c.dim, bias=c.out_bias)
        self.gate_up = nn.Linear(c.dim, 2 * c.ffn, bias=c.mlp_bias)  # [gate; up]
        self.down = nn.Linear(c.ffn, c.dim, bias=c.mlp_bias)
        self.norm_attention, self.norm_mlp = gain(c.dim), gain(c.dim)
        self.post_attention = gain(c.dim) if c.post_norms else None
        self.post_mlp = gain(c.dim) if c.post_norms else None
        self.norm_q = gain(c.head_dim) if c.qk_norm else None
        self.norm_k = gain(c.head_dim) if c.qk_norm else None


@dataclass
class Step:
    """What every layer of one call shares. T tokens, ring of C slots."""

    length: int  # T
    turns: dict[Rope, tuple[Tensor, Tensor]]  # cosines and signed sines, [T,1,rotary_dim]
    masks: dict[int | None, Tensor]  # by window; [1,1,G*T,C], or [1,1,1,C] when T is 1
    zero: Tensor  # int32 []
    slot: Tensor  # int32 [], where the first new row goes


class Decoder(nn.Module):
    """`forward` takes tokens int32 [T,S] (S streams are looked up in one table and summed), input_pos int32 [1]
    and the caches; T = 1 decodes, T > 1 prefills, and then slot(input_pos) + T must not exceed C."""

    def __init__(self, c: DecoderConfig) -> None:
        super().__init__()
        self.config = c
        self.embedding = nn.Embedding(c.rows, c.dim)
        self.layers = nn.ModuleList([Layer(c) for _ in range(c.layers)])
        self.norm_final: nn.Parameter | None = gain(c.dim)
        self.head = nn.Linear(c.dim, c.vocab, bias=False) if c.vocab else None
        if c.tied_head and self.head is not None:
            self.head.weight = self.embedding.weight
        self.scale = c.scale  # applied to the queries here until `fold` moves it into the weights
        self.gives_logits, self.gives_hidden = bool(c.vocab), False
        self.cache = "float32"  # or another of caches.KINDS

    # -- what an exporter asks for ------------------------------------------------------------------

    def empty_cache(self, slots: int) -> dict[str, Tensor]:
        c = self.config
        return caches.empty(self.cache, c.layers, c.kv_heads, c.head_dim, slots)

    def outputs(self, *, logits: bool, hidden: bool = False) -> Decoder:
        """The same weights with other outputs: a prefill graph needs neither, and then the exporter drops what
        only they used (the head, the last layer's MLP)."""
        view = copy.copy(self)
        view.gives_logits, view.gives_hidden = logits, hidden
        return view

    @torch.no_grad()
    def fold(self) -> Decoder:
        """Move norm gains and the query scale into the matrices behind them, in place; exact but for rounding."""
        c = self.config
        for module in self.layers:
            layer = cast(Layer, module)
            assert layer.norm_attention is not None
            assert layer.norm_mlp is not None
            layer.qkv.weight.mul_(layer.norm_attention[None])
            layer.gate_up.weight.mul_(layer.norm_mlp[None])
            layer.norm_attention = layer.norm_mlp = None
            if layer.norm_q is not None:
                layer.norm_q.mul_(self.scale)
            else:
                layer.qkv.weight[: c.heads * c.head_dim].mul_(self.scale)
                if c.qkv_bias:
                    layer.qkv.bias[: c.heads * c.head_dim].mul_(self.scale)
        if self.head is not None and not c.tied_head and not self.gives_hidden:
            self.head.weight.mul_(self.norm_final[None])
            self.norm_final = None
        self.scale = 1.0
        return self

    # -- the step -----------------------------------------------------------------------------------

    def forward(self, tokens: Tensor, input_pos: Tensor, kv_cache: dict[str, Tensor]) -> dict[str, Tensor]:
        x = self.embed(tokens)
        step = self.prepare(tokens.shape[0], input_pos, caches.slots_of(kv_cache))
        out: dict[str, Tensor] = {}
        for i, module in enumerate(self.layers):
            x = self.block(i, cast(Layer, module), x, step, kv_cache, out)
        if self.gives_logits or self.gives_hidden:
            x = rms_norm(x, self.norm_final, self.config.eps)
            if self.gives_hidden:
                out["hidden"] = x
            if self.gives_logits:
                out["logits"] = self.logits(x)
        return out

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens [T,S] -> [T,dim]"""
        c = self.config
        if c.zero_row:
            tokens = torch.where(tokens < 0, c.rows - 1, tokens)
        x = self.embedding(tokens)
        x = x.sum(1) if tokens.shape[1] > 1 else x[:, 0]
        return x if c.embedding_scale == 1.0 else x * c.embedding_scale

    def logits(self, x: Tensor) -> Tensor:
        assert self.head is not None
        y = self.head(x)
        cap = self.config.logit_softcap
        return y if cap is None else cast(Tensor, cap * torch.tanh(y / cap))

    def prepare(self, length: int, input_pos: Tensor, slots: int) -> Step:
        c = self.config
        position = input_pos.float()
        row = torch.arange(length).float()[:, None]
        turns: dict[Rope, tuple[Tensor, Tensor]] = {}
        for rope in dict.fromkeys(c.ropes):
            if rope is not None:
                angle = (position + row) * torch.tensor(rope.inv_freq)[None]
                cos, sin = torch.cos(angle), torch.sin(angle)
                turns[rope] = (torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None])
        first = position - torch.floor(position / slots) * slots
        back = first + row - torch.arange(slots).float()[None]  # [T,C]: slots back from each row's own
        # A slot ahead of the chunk was written one lap ago; a slot of the chunk ahead of the row is the future.
        age = torch.where(back < row + 1 - length, back + slots, back)
        masks: dict[int | None, Tensor] = {}
        for window in dict.fromkeys(c.windows):
            hidden = (age < 0) | (age > position + row)
            if window is not None and window < slots:
                hidden = hidden | (age >= window)
            mask = torch.where(hidden, MASKED, 0.0)
            if length > 1:
                mask = mask.repeat(c.heads // c.kv_heads, 1)  # rows of a score lie as (group, token)
            masks[window] = mask[None, None]
        return Step(length, turns, masks, torch.zeros([], dtype=torch.int32), first.int().reshape([]))

    def block(
        self, i: int, layer: Layer, x: Tensor, step: Step, cache: dict[str, Tensor], out: dict[str, Tensor]
    ) -> Tensor:
        """One residual layer, [T,dim] -> [T,dim]; puts the updated caches into `out`."""
        eps = self.config.eps
        y = layer.out(self.attend(i, layer, rms_norm(x, layer.norm_attention, eps), step, cache, out))
        x = x + (y if layer.post_attention is None else rms_norm(y, layer.post_attention, eps))
        y = self.mlp(layer, rms_norm(x, layer.norm_mlp, eps))
        return x + (y if layer.post_mlp is None else rms_norm(y, layer.post_mlp, eps))

    def mlp(self, layer: Layer, x: Tensor) -> Tensor:
        c = self.config
        y = layer.gate_up(x)
        return cast(Tensor, layer.down(activate(y[:, : c.ffn], c.activation) * y[:, c.ffn :]))

    def attend(
        self, i: int, layer: Layer, x: Tensor, step: Step, cache: dict[str, Tensor], out: dict[str, Tensor]
    ) -> Tensor:
        """x [T,dim] -> the heads' outputs [T,heads*head_dim], before the output projection."""
        c, T = self.config, step.length
        group = c.heads // c.kv_heads
        qkv = layer.qkv(x).reshape(T, c.heads + 2 * c.kv_heads, c.head_dim)
        qk, v = qkv[:, : c.heads + c.kv_heads], qkv[:, c.heads + c.kv_heads :]
        if layer.norm_q is not None and layer.norm_k is not None:
            qk = rms_norm(qk, None, c.eps)
            qk = torch.cat([qk[:, : c.heads] * layer.norm_q, qk[:, c.heads :] * layer.norm_k], 1)
        qk = self.rotate(qk, c.ropes[i], step)
        q, k = qk[:, : c.heads], qk[:, c.heads :]
        if self.scale != 1.0:
            q = q * self.scale
        if T == 1:
            q = q.reshape(1, c.kv_heads, group, c.head_dim)
        else:
            q = q.reshape(T, c.kv_heads, group, c.head_dim).permute(1, 2, 0, 3)
            q = q.reshape(1, c.kv_heads, group * T, c.head_dim)
        held = caches.KeyValues(i, cache, step.zero, step.slot)
        out.update(held.write(k, v))
        scores = held.scores(q)
        if c.score_softcap is not None:
            scores = c.score_softcap * torch.tanh(scores / c.score_softcap)
        y = held.mix(scores + step.masks[c.windows[i]])
        if T == 1:
            return y.reshape(1, c.heads * c.head_dim)
        y = y.reshape(c.kv_heads, group, T, c.head_dim).permute(2, 0, 1, 3)
        return y.reshape(T, c.heads * c.head_dim)

    def rotate(self, x: Tensor, rope: Rope | None, step: Step) -> Tensor:
        """Turn the first rope.dims of each head; x [T,heads,head_dim]."""
        if rope is None:
            return x
        cos, sin = step.turns[rope]
        half = rope.dims // 2
        turned = x[..., : rope.dims]
        turned = turned * cos + torch.cat([turned[..., half:], turned[..., :half]], -1) * sin
        return turned if rope.dims == x.shape[-1] else torch.cat([turned, x[..., rope.dims :]], -1)


def half_split(weight: Tensor, heads: int, head_dim: int) -> Tensor:
    """Rows of a projection whose rotated pairs are neighbours (2j, 2j+1) -> pairs (j, j + head_dim/2)."""
    rows = weight.reshape(heads, head_dim // 2, 2, -1)
    return torch.cat([rows[:, :, 0], rows[:, :, 1]], 1).reshape(heads * head_dim, -1)
