"""The speaking model: moshi's multistream transformer and its depformer, written for training on a CPU.

`checkpoint` gives the weights under moshi's names (moshi/models/lm.py in kyutai-labs/moshi), so what is trained here
is a Kyutai text-to-speech checkpoint. Two things differ while training, both multiplied out on the way: the
embedding of a code is a sum over its five digits, and so are the logits of a code. That learns 20 rows a codebook
instead of 1024; what it cannot say is how the digits of one code depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.hearing.lm import Layer, RmsNorm, rotation
from builders.speech.hearing.network import grid
from builders.speech.shape import CODEBOOKS, DIGITS, LEVELS, LmShape

#: rows of a codebook's digits: one for each level of each digit
ROWS = DIGITS * LEVELS
#: text logits: only "a word begins" (0) and padding (3) are ever predicted
TEXT_OUT = 4


@dataclass(frozen=True)
class SpeakShape:
    """In the terms of moshi's config.json. pieces: of the tokenizer; depth_*: of the depformer, one layer."""

    dim: int = 160
    layers: int = 4
    heads: int = 4
    hidden: int = 400
    pieces: int = 600
    padding: int = 3
    new_word: int = 0
    context: int = 128
    max_period: float = 10_000.0
    depth_dim: int = 64
    depth_heads: int = 4
    depth_hidden: int = 96

    def temporal(self) -> LmShape:
        return LmShape(
            dim=self.dim, layers=self.layers, heads=self.heads, hidden=self.hidden, pieces=self.pieces,
            padding=self.padding, end_padding=self.new_word, context=self.context, max_period=self.max_period,
        )  # fmt: skip


def digits_of(codes: Tensor) -> Tensor:
    """Codes [...] → digits int64 [..., 5], each 0 … 3."""
    weights = LEVELS ** torch.arange(DIGITS - 1, -1, -1)
    return codes[..., None] // weights % LEVELS


def one_hot(digits: Tensor) -> Tensor:
    """Digits [..., 5] → float32 [..., 20]."""
    return F.one_hot(digits, LEVELS).flatten(-2).float()


class Stepwise(nn.Module):
    """A linear layer with its own weights for each codebook: [8, N, inputs] → [8, N, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CODEBOOKS, outputs, inputs) / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x, self.weight.transpose(1, 2))


class Depformer(nn.Module):
    """One layer over the codebooks of a frame, no positions: each codebook has its own weights."""

    def __init__(self, shape: SpeakShape) -> None:
        super().__init__()
        d, self.heads = shape.depth_dim, shape.depth_heads
        self.norm1, self.norm2 = RmsNorm(d), RmsNorm(d)
        self.qkv, self.out = Stepwise(d, 3 * d), Stepwise(d, d)
        self.up, self.down = Stepwise(d, 2 * shape.depth_hidden), Stepwise(shape.depth_hidden, d)

    def forward(self, x: Tensor) -> Tensor:
        """[8, N, d] → [8, N, d]; codebook q sees those before it."""
        steps, count, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(steps, count, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 1, 3, 0, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.permute(2, 0, 1, 3).reshape(steps, count, dim))
        gate, value = self.up(self.norm2(x)).chunk(2, -1)
        out: Tensor = x + self.down(F.silu(gate) * value)
        return out


class SpeakingModel(nn.Module):
    """Text and the codes so far → whether a word begins, and the codes of the next frame."""

    def __init__(self, shape: SpeakShape) -> None:
        super().__init__()
        self.shape = shape
        dim, depth = shape.dim, shape.depth_dim
        self.text = nn.Embedding(shape.pieces + 1, dim)
        self.left, self.right = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.sound = nn.Parameter(torch.randn(CODEBOOKS * ROWS, dim) * 0.1)
        self.opening = nn.Parameter(torch.zeros(dim))
        self.layers = nn.ModuleList([Layer(shape.temporal()) for _ in range(shape.layers)])
        self.norm = RmsNorm(dim)
        self.begins = nn.Linear(dim, TEXT_OUT, bias=False)
        self.into = nn.Parameter(torch.randn(CODEBOOKS, depth, dim) / math.sqrt(dim))
        self.depth_text = nn.Embedding(shape.pieces + 1, ROWS)
        self.depth_left, self.depth_right = nn.Linear(ROWS, depth, bias=False), nn.Linear(ROWS, depth, bias=False)
        self.before = nn.Parameter(torch.randn(CODEBOOKS - 1, ROWS, depth) * 0.3)
        self.depformer = Depformer(shape)
        self.heads = nn.Parameter(torch.randn(CODEBOOKS, ROWS, depth) * 0.05)
        nn.init.normal_(self.text.weight, std=0.5)
        nn.init.normal_(self.depth_text.weight, std=0.5)

    def embed(self, tokens: Tensor, table: nn.Embedding, left: nn.Linear, right: nn.Linear) -> Tensor:
        """Packed text tokens, (second + 1) * (pieces + 1) + first → the sum of both embeddings, second -1 being
        none."""
        rows = self.shape.pieces + 1
        second = tokens // rows - 1
        ahead: Tensor = right(table(second.clamp(min=0))) * (second >= 0)[..., None]
        out: Tensor = left(table(tokens % rows)) + ahead
        return out

    def temporal(self, text: Tensor, heard: Tensor) -> Tensor:
        """text int64 [B, S]: tokens that stood one step before; heard [B, S, 160]: the one-hot digits of the codes
        one step before, zeros where there are none. Returns the hidden states [B, S, dim]."""
        x = self.embed(text, self.text, self.left, self.right) + heard @ self.sound
        x = torch.cat([x[:, :1] + self.opening, x[:, 1:]], 1)
        turn = rotation(x.shape[1], self.shape.dim // self.shape.heads, self.shape.max_period)
        for layer in self.layers:
            x = layer(x, turn)
        out: Tensor = self.norm(x)
        return out

    def depth(self, hidden: Tensor, text: Tensor, codes: Tensor) -> Tensor:
        """hidden [N, dim], text int64 [N]: this step's token, codes one-hot [N, 8, 20]: teacher-forced. Returns the
        logits of every digit [8, N, 5, 4]."""
        said = self.embed(text, self.depth_text, self.depth_left, self.depth_right)[None]
        past = torch.bmm(codes[:, :-1].transpose(0, 1), self.before)
        x = torch.matmul(hidden, self.into.transpose(1, 2)) + torch.cat([said, past])
        x = self.depformer(x)
        return torch.bmm(x, self.heads.transpose(1, 2)).unflatten(-1, (DIGITS, LEVELS))

    @torch.no_grad()
    def checkpoint(self) -> dict[str, Tensor]:
        """The weights under moshi's names."""
        codes = one_hot((grid() + (LEVELS - 1) / 2).long())  # [1024, 20]
        d = self.depformer
        out: dict[str, Tensor] = {
            "text_emb.weight": self.text.weight,
            "text_emb.out1.weight": self.left.weight,
            "text_emb.out2.weight": self.right.weight,
            "out_norm.alpha": self.norm.alpha,
            "text_linear.weight": self.begins.weight,
            "depformer_text_emb.weight": self.depth_text.weight,
            "depformer_text_emb.out1.weight": self.depth_left.weight,
            "depformer_text_emb.out2.weight": self.depth_right.weight,
            # moshi makes this one too, and never uses it beside out1 and out2
            "depformer_text_emb.low_rank.weight": torch.zeros(self.shape.depth_dim, ROWS),
            "depformer.layers.0.norm1.alpha": d.norm1.alpha,
            "depformer.layers.0.norm2.alpha": d.norm2.alpha,
        }
        for name, value in self.layers.state_dict().items():
            out[f"transformer.layers.{name}"] = value
        for q in range(CODEBOOKS):
            rows = codes @ self.sound[q * ROWS : (q + 1) * ROWS]
            last = self.opening if q == 0 else torch.zeros_like(self.opening)
            out[f"emb.{q}.weight"] = torch.cat([rows, last[None]])
            out[f"depformer_in.{q}.weight"] = self.into[q]
            out[f"linears.{q}.weight"] = codes @ self.heads[q]
            layer = "depformer.layers.0"
            out[f"{layer}.self_attn.in_projs.{q}.weight"] = d.qkv.weight[q]
            out[f"{layer}.self_attn.out_projs.{q}.weight"] = d.out.weight[q]
            out[f"{layer}.gating.{q}.linear_in.weight"] = d.up.weight[q]
            out[f"{layer}.gating.{q}.linear_out.weight"] = d.down.weight[q]
            if q:
                out[f"depformer_emb.{q - 1}.weight"] = torch.cat([codes, torch.zeros(1, ROWS)])
                out[f"depformer_emb.{q - 1}.low_rank.weight"] = self.before[q - 1].T
        return {name: value.detach().clone().contiguous() for name, value in out.items()}
