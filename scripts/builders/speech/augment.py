"""What happens to clean speech before it is heard: rooms, equalisers, noise, other people, levels. In batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from builders.speech.shape import RATE

_TAIL = 6000  # samples of a room's echo that are kept


def _curve(rows: int, points: int, bins: int, spread: Tensor, g: torch.Generator) -> Tensor:
    """Smooth random gains over frequency [rows, bins]: `spread` nepers [rows, 1]."""
    knots = torch.randn(rows, points, generator=g) * spread
    return F.interpolate(knots[:, None], bins, mode="linear", align_corners=True)[:, 0].exp()


def rooms(count: int, g: torch.Generator, share: float = 0.5) -> Tensor:
    """Impulse responses [count, _TAIL]: the direct sound, then noise that dies away (T60 0.1 … 0.7 s)."""
    t = torch.arange(_TAIL) / RATE
    t60 = torch.exp(torch.empty(count, 1).uniform_(math.log(0.1), math.log(0.7), generator=g))
    tail = torch.randn(count, _TAIL, generator=g) * torch.exp(-6.9 * t / t60)
    tail[:, : int(0.002 * RATE)] = 0
    level = 10 ** (torch.empty(count, 1).uniform_(-20, 2, generator=g) / 20)
    tail = tail / (tail.square().sum(1, keepdim=True).sqrt() + 1e-9) * level
    tail = tail * (torch.rand(count, 1, generator=g) < share)
    tail[:, 0] += 1.0
    return tail


class Noises:
    """A bank of coloured noise that rises and falls, and of rooms; drawn once, cut out anew for every example."""

    def __init__(self, seed: int, count: int = 192, seconds: float = 12.0) -> None:
        g = torch.Generator().manual_seed(seed)
        length = int(seconds * RATE)
        bins = length // 2 + 1
        frequency = torch.linspace(40, RATE / 2, bins).log2() - math.log2(500)
        kept = []
        for _ in range(count):
            white = torch.fft.rfft(torch.randn(1, length, generator=g))
            tilt = torch.empty(1, 1).uniform_(-1.1, 0.25, generator=g)
            shape = torch.exp2(tilt * frequency) * _curve(1, 12, bins, torch.full((1, 1), 0.5), g)
            coloured = torch.fft.irfft(white * shape, length)
            swell = torch.exp(torch.randn(1, 1, length // 3200, generator=g) * torch.rand(1, 1, 1, generator=g))
            coloured = coloured * F.interpolate(swell, length, mode="linear", align_corners=True)[:, 0]
            kept.append(coloured / coloured.square().mean().sqrt())
        self.coloured = torch.cat(kept)
        self.rooms = rooms(384, g)

    def cut(self, speech: Tensor, g: torch.Generator) -> Tensor:
        """Noise as long as the speech [B, N], unit power: coloured; or, for a quarter, talk played backwards."""
        rows, length = speech.shape
        chosen = torch.randint(0, self.coloured.shape[0], (rows,), generator=g).tolist()
        last = self.coloured.shape[1] - length
        starts = torch.randint(0, max(1, last), (rows,), generator=g).tolist()
        if last < 0:
            coloured = self.coloured[chosen].repeat(1, -(-length // self.coloured.shape[1]))[:, :length]
        else:
            coloured = torch.stack([self.coloured[i, s : s + length] for i, s in zip(chosen, starts, strict=True)])
        talk = torch.rand(rows, 1, generator=g) < 0.25
        if not talk.any():
            return coloured
        backwards, babble = speech.flip(1), torch.zeros_like(speech)
        for _ in range(3):
            moved = int(torch.randint(0, length, (1,), generator=g))
            babble = babble + backwards.roll((int(torch.randint(1, rows + 1, (1,), generator=g)), moved), (0, 1))
        noise = torch.where(talk, babble, coloured)
        return noise / (noise.square().mean(1, keepdim=True).sqrt() + 1e-6)


def disturbed(
    clean: Tensor, spans: Tensor, g: torch.Generator, bank: Noises, quiet: float = 0.35
) -> tuple[Tensor, Tensor]:
    """clean [B, N] → (what a microphone hears, the clean speech at the same level).

    spans [B, 2]: samples between which there is speech, for the signal-to-noise ratio; quiet: share without noise.
    """
    rows, length = clean.shape
    size = 1 << (length + _TAIL - 1).bit_length()
    size = size if size < 1.3 * (length + _TAIL) else -(-(length + _TAIL) // 4096) * 4096
    bins = size // 2 + 1
    equal = _curve(rows, 8, bins, torch.rand(rows, 1, generator=g) * 0.9, g)
    narrow = torch.rand(rows, 1, generator=g) < 0.1
    edge = torch.empty(rows, 1).uniform_(3400, 7000, generator=g)
    frequency = torch.linspace(0, RATE / 2, bins)[None]
    equal = equal * torch.where(narrow & (frequency > edge), 0.03, 1.0)
    spectrum = torch.fft.rfft(clean, size)
    heard = torch.fft.irfft(
        spectrum * equal * torch.fft.rfft(bank.rooms[torch.randint(0, len(bank.rooms), (rows,), generator=g)], size),
        size,
    )[:, :length]
    time = torch.arange(length)[None]
    speaking = (time >= spans[:, :1]) & (time < spans[:, 1:])
    level = (heard.square() * speaking).sum(1, keepdim=True) / (speaking.sum(1, keepdim=True) + 1)
    noisy = torch.rand(rows, 1, generator=g) >= quiet
    snr = torch.empty(rows, 1).uniform_(3.0, 38.0, generator=g)
    noise = bank.cut(clean, g) * (level * 10 ** (-snr / 10)).sqrt() * noisy
    floor = torch.randn(rows, length, generator=g) * 10 ** (torch.empty(rows, 1).uniform_(-95, -60, generator=g) / 20)
    gain = 10 ** (torch.empty(rows, 1).uniform_(-26, 4, generator=g) / 20)
    return ((heard + noise) * gain + floor).clamp(-1, 1), clean * gain
