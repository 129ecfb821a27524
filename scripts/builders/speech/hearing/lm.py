"""The speech-text model: moshi's temporal transformer, written for training whole sequences on a CPU.

Names of parameters are moshi's (moshi/models/lm.py and moshi/modules in kyutai-labs/moshi), so the trained weights
are a Kyutai checkpoint. One thing differs while training: the embedding of a code is a linear map of its five
numbers, which learns much faster than 1024 free rows; `checkpoint` multiplies it out into moshi's tables.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.hearing.network import grid
from builders.speech.shape import CARD, CODEBOOKS, DELAY, DIGITS, FRAME_RATE, LmShape


class RmsNorm(nn.Module):
    """moshi's rms_norm_f32: eps 1e-8, gain `alpha` [1, 1, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * (self.alpha * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-8))
        return out


class Attention(nn.Module):
    """Causal self-attention with interleaved rotary positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_projs = nn.ModuleList([nn.Linear(dim, 3 * dim, bias=False)])
        self.out_projs = nn.ModuleList([nn.Linear(dim, dim, bias=False)])

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, steps, dim = x.shape
        qkv = self.in_projs[0](x).view(batch, steps, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _turned(q, turn), _turned(k, turn)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_projs[0](y.transpose(1, 2).reshape(batch, steps, dim))
        return out


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = turn
    real, imaginary = x[..., 0::2], x[..., 1::2]
    return torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], -1).flatten(-2)


class Gating(nn.Module):
    """silu(a x) * (b x), then back."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(dim, 2 * hidden, bias=False)
        self.linear_out = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.linear_in(x).chunk(2, -1)
        out: Tensor = self.linear_out(F.silu(gate) * value)
        return out


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, shape: LmShape) -> None:
        super().__init__()
        self.self_attn = Attention(shape.dim, shape.heads)
        self.norm1, self.norm2 = RmsNorm(shape.dim), RmsNorm(shape.dim)
        self.gating = Gating(shape.dim, shape.hidden)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.norm1(x), turn)
        out: Tensor = x + self.gating(self.norm2(x))
        return out


class SpeechTextModel(nn.Module):
    """Codes and the text so far → text logits and the end-of-turn logits, frame by frame."""

    def __init__(self, shape: LmShape) -> None:
        super().__init__()
        self.shape = shape
        self.text_emb = nn.Embedding(shape.pieces + 1, shape.dim)
        self.heard = nn.ModuleList([nn.Linear(DIGITS, shape.dim, bias=False) for _ in range(CODEBOOKS)])
        self.opening = nn.Parameter(torch.zeros(shape.dim))
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList([Layer(shape) for _ in range(shape.layers)])})
        self.out_norm = RmsNorm(shape.dim)
        self.text_linear = nn.Linear(shape.dim, shape.pieces, bias=False)
        self.extra_heads = nn.ModuleList([nn.Linear(shape.dim, 2, bias=False)])
        nn.init.normal_(self.text_emb.weight, std=0.3)
        for entry in self.heard:
            nn.init.normal_(entry.weight, std=0.15)  # type: ignore[arg-type]

    def forward(self, codes: Tensor, previous: Tensor, codebooks: int = CODEBOOKS) -> tuple[Tensor, Tensor]:
        """codes [B, T, 40] quantised values, previous [B, T + 1] text tokens that stood one step before.

        Step 0 reads the initial tokens, step t the t-th frame. Returns logits [B, T + 1, pieces] and [B, T + 1, 2].
        codebooks: how many are heard; the others are as absent as a token of -1.
        """
        parts = codes.unflatten(-1, (CODEBOOKS, DIGITS))
        sound = self.heard[0](parts[..., 0, :])
        for q in range(1, codebooks):
            sound = sound + self.heard[q](parts[..., q, :])
        opening = self.opening.expand(sound.shape[0], 1, -1)
        x = self.text_emb(previous) + torch.cat([opening, sound], 1)
        turn = rotation(x.shape[1], self.shape.dim // self.shape.heads, self.shape.max_period)
        for layer in self.transformer["layers"]:  # type: ignore[union-attr]
            x = layer(x, turn)
        x = self.out_norm(x)
        return self.text_linear(x), self.extra_heads[0](x)

    @torch.no_grad()
    def checkpoint(self) -> dict[str, Tensor]:
        """The weights under moshi's names, as moshi/models/lm.py would save them."""
        state = self.state_dict()
        tables = {}
        for q in range(CODEBOOKS):
            rows = grid() @ state.pop(f"heard.{q}.weight").T
            last = self.opening if q == 0 else torch.zeros_like(self.opening)
            tables[f"emb.{q}.weight"] = torch.cat([rows, last[None]])
        state.pop("opening")
        return {name: value.detach().clone().contiguous() for name, value in {**state, **tables}.items()}


def rotation(steps: int, head_dim: int, max_period: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [steps, head_dim / 2] (moshi/modules/rope.py)."""
    frequencies = torch.exp(torch.arange(head_dim // 2) * (-math.log(max_period) * 2 / head_dim))
    angles = torch.arange(steps)[:, None] * frequencies
    return angles.cos(), angles.sin()


def config(shape: LmShape, *, threshold: float, name: str) -> dict[str, Any]:
    """A Kyutai config.json for these weights."""
    return {
        "dim": shape.dim,
        "text_card": shape.pieces,
        "existing_text_padding_id": shape.padding,
        "existing_text_end_padding_id": shape.end_padding,
        "n_q": CODEBOOKS,
        "dep_q": 0,
        "card": CARD,
        "num_heads": shape.heads,
        "num_layers": shape.layers,
        # moshi makes the gate's width out of this: 2/3 of hidden_scale * dim
        "hidden_scale": shape.hidden * 3 / 2 / shape.dim,
        "causal": True,
        "layer_scale": None,
        "context": shape.context,
        "max_period": shape.max_period,
        "gating": "silu",
        "norm": "rms_norm_f32",
        "positional_embedding": "rope",
        "delays": [0] * (1 + CODEBOOKS),
        "extra_heads_num_heads": 1,
        "extra_heads_dim": 2,
        "model_type": "stt",
        "moshi_name": "model.safetensors",
        "tokenizer_name": "tokenizer.model",
        "lm_gen_config": {"temp_text": 0.0, "use_sampling": False},
        "stt_config": {
            "audio_delay_seconds": DELAY / FRAME_RATE,
            "audio_silence_prefix_seconds": 0.0,
            "end_of_turn": {"head": 0, "class": 1, "threshold": threshold},
        },
        "model_id": {"sig": name},
    }
