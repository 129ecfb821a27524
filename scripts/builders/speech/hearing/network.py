"""The encoder (sound to codes) and the heads that train it.

Everything is causal with zero initial state, so that a step graph computes the same. The quantiser is a product of
finite scalar quantisers (Mentzer et al., arXiv 2309.15505): `tanh` shapes the gradient only, and its decision
thresholds are equally spaced before it, so at run time a codebook is a plain nearest-neighbour table.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.shape import CODEBOOKS, DIGITS, LEVELS, MELS, PHONE_STEPS, STEPS

#: spacing of the decision thresholds before tanh: 2 atanh(1/2)
SPACING = 2 * math.atanh(0.5)


class CausalConv(nn.Module):
    """Convolution over time, channels last: [B, T, inputs] → [B, T / stride, outputs]."""

    def __init__(self, inputs: int, outputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.width, self.stride = width, stride
        self.linear = nn.Linear(inputs * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, inputs = x.shape
        x = F.pad(x, (0, 0, self.width - self.stride, 0))
        # [B, T', inputs, width] → time-major patches [B, T', width * inputs]
        patches = x.unfold(1, self.width, self.stride).transpose(2, 3)
        out: Tensor = self.linear(patches.reshape(batch, patches.shape[1], self.width * inputs))
        return out


class Block(nn.Module):
    """Depthwise convolution over time, then a gated-by-nothing two-layer net; residual."""

    def __init__(self, dim: int, width: int = 5, wider: int = 2) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(width, dim) / math.sqrt(width))
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, dim * wider), nn.Linear(dim * wider, dim)

    def forward(self, x: Tensor) -> Tensor:
        width, steps = self.taps.shape[0], x.shape[1]
        past = F.pad(x, (0, 0, width - 1, 0))
        mixed = past[:, :steps] * self.taps[0]
        for i in range(1, width):
            mixed = mixed + past[:, i : i + steps] * self.taps[i]
        return x + self.down(F.silu(self.up(self.norm(mixed))))


class Encoder(nn.Module):
    """Log-mel [B, 8 T, 64] → [B, T, 40], before quantisation."""

    def __init__(self, dims: tuple[int, int, int] = (128, 192, 256)) -> None:
        super().__init__()
        a, b, c = dims
        self.layers = nn.ModuleList(
            [
                CausalConv(MELS, a, 6, 2), nn.SiLU(), CausalConv(a, a, 1), Block(a),
                CausalConv(a, b, 4, 2), Block(b),
                CausalConv(b, c, 4, 2), Block(c), Block(c),
            ]
        )  # fmt: skip
        self.norm = nn.LayerNorm(c)
        self.project = nn.Linear(c, CODEBOOKS * DIGITS)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.project(self.norm(x))
        return out


def quantise(z: Tensor, soft: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """[..., 40] → the quantised values (-1.5, -0.5, 0.5, 1.5) with a straight-through gradient, and a penalty.

    soft: where True the value is not rounded but blurred as much, for training.
    """
    bounded = 2 * torch.tanh(z / 2)
    rounded = torch.floor(bounded.clamp(-1.999, 1.999)) + 0.5
    hard = bounded + (rounded - bounded).detach()
    if soft is not None:
        hard = torch.where(soft, bounded + (torch.rand_like(bounded) - 0.5) * 0.5, hard)
    return hard, (z.abs() - 3).relu().mean()


def to_codes(z: Tensor) -> Tensor:
    """[..., 40] before quantisation → codes int64 [..., 8]."""
    digits = torch.floor((2 * torch.tanh(z / 2)).clamp(-1.999, 1.999)).long() + LEVELS // 2
    weights = LEVELS ** torch.arange(DIGITS - 1, -1, -1)
    return (digits.unflatten(-1, (CODEBOOKS, DIGITS)) * weights).sum(-1)


def grid() -> Tensor:
    """The values of the 1024 codes of any codebook [1024, 5]."""
    codes = torch.arange(LEVELS**DIGITS)
    weights = LEVELS ** torch.arange(DIGITS - 1, -1, -1)
    return (codes[:, None] // weights % LEVELS).float() - (LEVELS - 1) / 2


def from_codes(codes: Tensor) -> Tensor:
    """Codes [..., 8] → quantised values [..., 40]."""
    return grid()[codes].flatten(-2)


class Heads(nn.Module):
    """What the codes must tell while they are being learned: the phones (from the first codebook alone and from
    all), by each engine's own phone names, and the clean features."""

    def __init__(self, phones: dict[str, int]) -> None:
        super().__init__()
        self.counts = dict(phones)

        def head(inputs: int, hidden: int, labels: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, PHONE_STEPS * labels))

        self.first = nn.ModuleDict({name: head(DIGITS, 128, n) for name, n in phones.items()})
        self.all = nn.ModuleDict({name: head(CODEBOOKS * DIGITS, 192, n) for name, n in phones.items()})
        self.before = CausalConv(CODEBOOKS * DIGITS, 224, 3)
        self.features = nn.Linear(224, STEPS * MELS)

    def rebuilt(self, codes: Tensor) -> Tensor:
        """[B, T, 40] → log-mel [B, 8 T, 64]."""
        out: Tensor = self.features(F.silu(self.before(codes)))
        return out.unflatten(-1, (STEPS, MELS)).flatten(1, 2)
