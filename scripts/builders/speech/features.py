"""Causal log-mel features: what the encoder hears. A frame of 1280 samples gives eight feature vectors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from builders.speech.shape import FLOOR, HOP, MEAN, MELS, N_FFT, RATE, SPREAD, WINDOW

LOWEST, HIGHEST = 60.0, 7800.0


def filterbank(warp: float = 1.0) -> NDArray[np.float32]:
    """Triangular mel filters [257, 64]; warp > 1 hears a longer vocal tract (all frequencies scaled)."""

    def mel(f: float) -> float:
        return float(2595 * np.log10(1 + f / 700))

    points = 700 * (10 ** (np.linspace(mel(LOWEST), mel(HIGHEST), MELS + 2) / 2595) - 1)
    points = np.minimum(points * warp, RATE / 2)
    bins = np.fft.rfftfreq(N_FFT, 1 / RATE)
    low, mid, high = points[:-2, None], points[1:-1, None], points[2:, None]
    up, down = (bins - low) / np.maximum(mid - low, 1e-3), (high - bins) / np.maximum(high - mid, 1e-3)
    out: NDArray[np.float32] = np.maximum(0, np.minimum(up, down)).T.astype(np.float32)
    return out


def window() -> NDArray[np.float32]:
    """Periodic Hann window [400]."""
    out: NDArray[np.float32] = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    return out


WARPS = tuple(float(w) for w in np.linspace(0.86, 1.16, 13))
_BANKS = torch.from_numpy(np.stack([filterbank(w) for w in WARPS]))
_PLAIN = torch.from_numpy(filterbank())


def transform() -> NDArray[np.float32]:
    """The windowed Fourier transform as a matrix [400, 2 * 257]: cosines, then sines."""
    phase = 2 * np.pi * np.arange(WINDOW)[:, None] * np.arange(N_FFT // 2 + 1)[None] / N_FFT
    out: NDArray[np.float32] = (np.concatenate([np.cos(phase), np.sin(phase)], 1) * window()[:, None]).astype(
        np.float32
    )
    return out


_TRANSFORM = torch.from_numpy(transform())


def power(pcm: Tensor) -> Tensor:
    """[B, N] with N a multiple of 160 → power spectra [B, N / 160, 257]; each step hears its past only."""
    real, imaginary = (F.pad(pcm, (WINDOW - HOP, 0)).unfold(1, WINDOW, HOP) @ _TRANSFORM).chunk(2, -1)
    return real * real + imaginary * imaginary


def log_mel(spectra: Tensor, warp: int | None = None) -> Tensor:
    """Power spectra [B, T, 257] → normalised log-mel [B, T, 64]; warp: an index into WARPS."""
    mel = spectra @ (_PLAIN if warp is None else _BANKS[warp])
    out: Tensor = (torch.log(mel + FLOOR) - MEAN) / SPREAD
    return out
