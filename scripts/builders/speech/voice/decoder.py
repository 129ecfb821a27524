"""The decoder (codes to sound): frames of codes become spectra, and spectra sound by an inverse Fourier transform.

Everything is causal with zero initial state, so that a step graph (`decoder_graph`) computes the same. Each 80 ms
frame gives eight spectra, 10 ms apart; their magnitudes and phases are predicted and added up by overlap (Siuzdak,
*Vocos*, arXiv 2306.00814). A spectrum's window reaches into what has not been heard yet, so the sound comes `SHIFT`
samples late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.hearing.network import Block, CausalConv
from builders.speech.shape import CODEBOOKS, DIGITS, HOP, STEPS

#: the transform: 40 ms windows every 10 ms
WINDOW = 640
BINS = WINDOW // 2 + 1
OVERLAP = WINDOW // HOP
#: samples by which the sound follows the codes' own time
SHIFT = 480
#: log magnitudes are predicted about the first value, and never above the second
CENTRE, LOUDEST = 1.0, 6.0


@dataclass(frozen=True)
class DecoderShape:
    """front: width at 12.5 Hz; dim: width at 100 Hz; layers of each."""

    front: int = 256
    front_layers: int = 2
    dim: int = 160
    layers: int = 4
    wider: int = 3


class Decoder(nn.Module):
    """Quantised values [B, T, 40] → sound [B, 1280 T]."""

    even: Tensor
    odd: Tensor

    def __init__(self, shape: DecoderShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or DecoderShape()
        self.into = CausalConv(CODEBOOKS * DIGITS, shape.front, 3)
        self.front = nn.ModuleList([Block(shape.front, 3) for _ in range(shape.front_layers)])
        self.spread = nn.Linear(shape.front, STEPS * shape.dim)
        self.place = nn.Parameter(torch.randn(STEPS, shape.dim) * 0.1)
        self.layers = nn.ModuleList([Block(shape.dim, 7, shape.wider) for _ in range(shape.layers)])
        self.norm = nn.LayerNorm(shape.dim)
        self.head = nn.Linear(shape.dim, 2 * BINS)
        nn.init.normal_(self.head.weight, std=0.02)
        even, odd = transform()
        self.register_buffer("even", torch.from_numpy(even), persistent=False)
        self.register_buffer("odd", torch.from_numpy(odd), persistent=False)

    def spectra(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts [B, 8 T, 321]."""
        x = F.silu(self.into(codes))
        for block in self.front:
            x = block(x)
        batch, frames, _ = x.shape
        x = (self.spread(x).view(batch, frames, STEPS, self.shape.dim) + self.place).flatten(1, 2)
        for block in self.layers:
            x = block(x)
        out = self.head(self.norm(x))
        magnitude = torch.exp((out[..., :BINS] + CENTRE).clamp(max=LOUDEST))
        phase = out[..., BINS:]
        return magnitude * torch.cos(phase), magnitude * torch.sin(phase)

    def forward(self, codes: Tensor) -> Tensor:
        real, imaginary = self.spectra(codes)
        even, odd = real @ self.even, imaginary @ self.odd
        return overlap_add(torch.cat([even + odd, torch.flip((even - odd)[..., 1:-1], [-1])], -1))


def transform() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The windowed inverse transform of real sounds, as matrices [321, 321] for the even and the odd part.

    Sample n is even[n] + odd[n], and sample 640 - n is even[n] - odd[n]: half the work of one matrix. The window is a
    periodic Hann window, divided by the sum of its overlapping copies.
    """
    n = np.arange(BINS)
    angle = 2 * np.pi * np.outer(n, n) / WINDOW
    weight = np.full(BINS, 2.0)
    weight[[0, -1]] = 1.0
    window = (0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)) / (OVERLAP / 2)
    scale = weight[:, None] * window[None] / math.sqrt(WINDOW)
    return (np.cos(angle) * scale).astype(np.float32), (-np.sin(angle) * scale).astype(np.float32)


def overlap_add(windows: Tensor) -> Tensor:
    """[B, T, 640] windows 160 samples apart → [B, 160 T]; what reaches beyond the last step is left out."""
    batch, steps, _ = windows.shape
    parts = windows.unflatten(-1, (OVERLAP, HOP))
    total = parts[:, :, 0]
    for j in range(1, OVERLAP):
        total = total + F.pad(parts[:, :, j], (0, 0, j, 0))[:, :steps]
    return total.reshape(batch, steps * HOP)


class Comparison:
    """How far two sounds are from each other, by magnitude spectra of several lengths and by mel bands.

    Yamamoto et al., *Parallel WaveGAN*, arXiv 1910.11480 (multi-resolution STFT loss).
    """

    SIZES = (256, 512, 1024)
    #: below this magnitude everything is silence
    FLOOR = 1e-2

    def __init__(self) -> None:
        self._windows = {n: torch.hann_window(n) for n in self.SIZES}
        self._mel = {n: torch.from_numpy(_mel_bank(n, bands)) for n, bands in ((512, 64), (1024, 80))}

    def __call__(self, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Terms, each already weighted, of sounds [B, N]."""
        logs, convergence, mels = [], [], []
        for n, window in self._windows.items():
            a, b = (self._spectrum(x, n, window) for x in (made, wanted))
            logs.append((torch.log(a + self.FLOOR) - torch.log(b + self.FLOOR)).abs().mean())
            convergence.append((a - b).norm() / (b.norm() + 1e-3))
            if n in self._mel:
                a, b = (torch.log(x.transpose(1, 2) @ self._mel[n] + self.FLOOR) for x in (a, b))
                mels.append((a - b).abs().mean())
        return {
            "spectrum": torch.stack(logs).mean(),
            "shape": 0.5 * torch.stack(convergence).mean(),
            "mel": torch.stack(mels).mean(),
        }

    @staticmethod
    def _spectrum(x: Tensor, n: int, window: Tensor) -> Tensor:
        spectrum = torch.view_as_real(torch.stft(x, n, n // 4, n, window, return_complex=True))
        return torch.sqrt(spectrum.square().sum(-1) + 1e-9)


def _mel_bank(n: int, bands: int) -> NDArray[np.float32]:
    """Triangular mel filters [n / 2 + 1, bands] of unit sum."""
    top = 2595 * np.log10(1 + 8000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.linspace(0, 8000, n // 2 + 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    out: NDArray[np.float32] = (bank / np.maximum(bank.sum(1, keepdims=True), 1e-3)).T.astype(np.float32)
    return out
