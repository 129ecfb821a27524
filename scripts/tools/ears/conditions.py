"""What rooms and neighbours do to a recording: noise, talkers, reverberation. float32 at 16 kHz."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
RATE = 16_000
CONDITIONS = ("clean", "noise 10 dB", "talkers 10 dB", "room 0.5 s")


def apply(audio: Audio, condition: str, others: Sequence[Audio], seed: str = "") -> Audio:
    """The recording under a condition; the same for the same seed. others: recordings that talkers are made of."""
    rng = np.random.default_rng(zlib.crc32(f"{condition}/{seed}".encode()))
    if condition.startswith("noise"):
        return _beside(audio, _pink(len(audio), rng), _decibels(condition))
    if condition.startswith("talkers"):
        return _beside(audio, talkers(len(audio), others, rng), _decibels(condition))
    if condition.startswith("room"):
        return reverberate(audio, float(condition.split()[1]), rng)
    return audio


def _decibels(condition: str) -> float:
    return float(condition.split()[1])


def _beside(speech: Audio, noise: Audio, decibels: float) -> Audio:
    """Speech with noise so many decibels below it, by mean power over the recording."""
    power = float((speech.astype(np.float64) ** 2).mean()), float((noise.astype(np.float64) ** 2).mean())
    factor = np.sqrt(power[0] / max(power[1], 1e-12)) * 10 ** (-decibels / 20)
    return (speech + noise * np.float32(factor)).astype(np.float32)


def _pink(count: int, rng: np.random.Generator) -> Audio:
    """Noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    return np.asarray(np.fft.irfft(spectrum, count), np.float32)


def talkers(count: int, others: Sequence[Audio], rng: np.random.Generator, many: int = 4) -> Audio:
    """Several people at once, each somewhere in what they say."""
    sound = np.zeros(count, np.float32)
    for _ in range(many):
        one = np.concatenate([others[int(rng.integers(len(others)))] for _ in range(3)])
        sound += np.resize(np.roll(one, int(rng.integers(len(one)))), count)
    return sound


def reverberate(audio: Audio, seconds: float, rng: np.random.Generator) -> Audio:
    """A room whose echo falls by 60 dB in so many seconds: exponentially decaying noise behind the direct sound,
    which is as strong as all the echo (about 2 m away)."""
    count = int(seconds * RATE)
    times = np.arange(count) / RATE
    tail = rng.standard_normal(count) * 10 ** (-3 * times / seconds)
    tail[: int(0.004 * RATE)] = 0
    tail /= np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = len(audio) + count - 1
    echo = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(tail, size), size)[: len(audio) + RATE // 2]
    return np.asarray(echo * (np.sqrt((audio**2).mean()) / max(np.sqrt((echo**2).mean()), 1e-9)), np.float32)
