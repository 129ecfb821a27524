"""Speech once more in a voice that nobody has: its spectral envelope bent, its sounds longer and shorter, its pitch
moved, its excitation made anew.

Three recorded speakers are not enough to learn what all speakers share. A clip is taken apart into a smooth
envelope (liftered cepstrum: Oppenheim and Schafer, Discrete-Time Signal Processing, ch. 13), a pitch and a measure of
voicing, and put together again by pulses and noise through the minimum-phase filter of the bent envelope. Every phone
is bent a little in its own way, as speakers differ in their vowels. The result sounds like the vocoders and diphone
voices of the nineties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from builders.sound.signal import RATE, Audio

_HOP, _WINDOW, _SIZE = 96, 400, 512
#: quefrency, samples, above which the cepstrum is pitch and not envelope
_LIFTER = 34
_LOWEST, _HIGHEST = 70.0, 400.0
_VOICED = 0.45
#: Hz at which the curves over frequency are drawn
_KNOTS = np.array([0.0, 500, 1100, 1900, 2800, 4200, 8000])

_Floats = NDArray[np.float64]


def frames(audio: Audio, window: int, hop: int) -> _Floats:
    """[samples] → [frames, window], centred on multiples of `hop`."""
    padded = np.pad(audio.astype(np.float64), (window // 2, window // 2 + hop))
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]


def pitch(audio: Audio) -> tuple[_Floats, _Floats]:
    """Fundamental frequency in Hz and normalised autocorrelation there, every 6 ms."""
    wide = 640
    cut = frames(audio, wide, _HOP)
    spectrum = np.fft.rfft(cut * np.hanning(wide), 2048)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, : wide // 2]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(wide), 2048)) ** 2)[: wide // 2]
    correlation = correlation / (correlation[:, :1] + 1e-9) / (window / window[0])
    first, last = int(RATE / _HIGHEST), min(int(RATE / _LOWEST), wide // 2 - 1)
    # a small price for long periods keeps the octave below away
    best = np.argmax(correlation[:, first:last] - 0.0006 * np.arange(last - first), axis=1) + first
    strength = correlation[np.arange(len(best)), best]
    return RATE / best, strength


def envelope(audio: Audio) -> _Floats:
    """Log magnitude without the pitch's ripple [frames, 257]."""
    spectrum = np.abs(np.fft.rfft(frames(audio, _WINDOW, _HOP) * np.hanning(_WINDOW), _SIZE))
    cepstrum = np.fft.irfft(np.log(spectrum + 1e-5))
    cepstrum[:, _LIFTER : _SIZE - _LIFTER + 1] = 0.0
    return np.asarray(np.fft.rfft(cepstrum).real)


def timing(marks: Sequence[float], seconds: float, rng: Random) -> tuple[_Floats, _Floats]:
    """Where the old time's knots lie in the new time: two rising rows of seconds."""
    inner = sorted({at for at in marks if 0.005 < at < seconds - 0.005})
    old = np.array([0.0, *inner, seconds])
    pace = rng.gauss(0.0, 0.12)
    lengths = np.diff(old) * np.exp([pace + rng.gauss(0.0, 0.22) for _ in old[1:]])
    return old, np.concatenate([[0.0], np.cumsum(lengths)])


def _curve(rng: Random, spread: float) -> _Floats:
    return np.array([rng.gauss(0.0, spread) for _ in _KNOTS])


def bent(log: _Floats, sounds: NDArray[np.int64], rng: Random) -> _Floats:
    """Envelopes [frames, bins] with the formants moved along a random rising curve over frequency, each of `sounds`
    (numbers from 0, one a frame) a little otherwise; with a random tilt, and the peaks flatter or steeper."""
    bins = log.shape[1]
    knots = _KNOTS / 8000 * (bins - 1)
    base, tilt = rng.gauss(0.0, 0.07) + _curve(rng, 0.06), np.cumsum(_curve(rng, 0.35))
    rows = []
    for _ in range(int(sounds.max()) + 1):
        moved = np.maximum.accumulate(knots * np.exp(base + _curve(rng, 0.05)) + 0.01 * np.arange(len(knots)))
        rows.append(np.clip(np.interp(np.arange(bins), moved, knots), 0, bins - 1))
    source = uniform_filter1d(np.array(rows)[sounds], 7, axis=0, mode="nearest")
    low = source.astype(int)
    high, part, row = np.minimum(low + 1, bins - 1), source - low, np.arange(len(log))[:, None]
    out = log[row, low] * (1 - part) + log[row, high] * part
    mean = out.mean(1, keepdims=True)
    return np.asarray(mean + (out - mean) * math.exp(rng.gauss(0.0, 0.12)) + np.interp(np.arange(bins), knots, tilt))


def excitation(f0: _Floats, strength: _Floats, samples: int, rng: Random) -> _Floats:
    """Pulses where there is voice, noise elsewhere and a little of it everywhere; unit power [samples]."""
    noise = np.random.default_rng(rng.randrange(2**32)).standard_normal(samples)
    at = np.arange(samples) / _HOP
    index = np.arange(len(f0))
    hertz = np.interp(at, index, f0)
    voiced = np.interp(at, index, (strength > _VOICED).astype(np.float64))
    wraps = np.flatnonzero(np.diff(np.floor(np.cumsum(hertz / RATE)), prepend=0.0) > 0)
    pulses = np.zeros(samples)
    pulses[wraps] = np.sqrt(RATE / hertz[wraps])
    rough = rng.uniform(0.02, 0.35)
    return np.asarray(pulses * np.sqrt(voiced) * (1 - rough) + noise * np.sqrt(1 - voiced * (1 - rough**2)))


def filtered(source: _Floats, log: _Floats) -> Audio:
    """The excitation through the minimum-phase filter of each frame, overlapped and added."""
    cepstrum = np.fft.irfft(log)
    cepstrum[:, 1 : _SIZE // 2] *= 2
    cepstrum[:, _SIZE // 2 + 1 :] = 0
    size = 2 * _SIZE
    response = np.exp(np.fft.rfft(cepstrum, size))
    window = np.hanning(2 * _HOP + 1)[:-1]
    cut = np.lib.stride_tricks.sliding_window_view(np.pad(source, (_HOP, 2 * _HOP)), 2 * _HOP)[::_HOP]
    count = min(len(cut), len(response))
    parts = np.fft.irfft(np.fft.rfft(cut[:count] * window, size) * response[:count])
    out = np.zeros(count * _HOP + size)
    for index in range(count):
        out[index * _HOP : index * _HOP + size] += parts[index]
    return out[_HOP : _HOP + len(source)].astype(np.float32)


def revoiced(audio: Audio, marks: Sequence[float], rng: Random) -> tuple[Audio, _Floats, _Floats]:
    """The same words by somebody else, and where the old time's knots (beginning, marks, end) lie in the new time.

    marks: rising seconds at which one sound ends and another begins.
    """
    old, new = timing(marks, len(audio) / RATE, rng)
    count = max(1, int(new[-1] * RATE / _HOP))
    at = np.interp(np.arange(count) * _HOP / RATE, new, old)
    f0, strength = pitch(audio)
    index = np.minimum((at * RATE / _HOP + 0.5).astype(int), len(f0) - 1)
    f0, strength = f0[index], strength[index]
    log = bent(envelope(audio)[index], np.searchsorted(old, at, side="right") - 1, rng)
    if rng.random() < 0.15:  # through a narrow line, or from a voice of 8 kHz
        log[:, int(rng.uniform(3300, 4200) / 8000 * log.shape[1]) :] -= 8.0
    spoken = strength > _VOICED
    mean = float(np.log(f0[spoken]).mean()) if spoken.any() else math.log(120.0)
    wanted = np.clip(mean + rng.gauss(0.0, 0.3), math.log(80), math.log(260))
    moved = np.clip(np.exp(wanted + rng.uniform(0.0, 1.3) * (np.log(f0) - mean)), 60.0, 420.0)
    out = filtered(excitation(moved, strength, count * _HOP, rng), log)
    return out / max(float(np.abs(out).max()), 1e-4) * 0.5, old, new
