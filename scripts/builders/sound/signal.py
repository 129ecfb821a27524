"""Sound processing on float32 mono at 16 kHz: resampling, trimming, voices out of voices, rooms, equalisers, noises.

All functions are pure; randomness comes from the generator that the caller passes in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Audio = NDArray[np.float32]
RATE = 16_000
_FRAME, _STEP = 512, 128


def resample(audio: Audio, ratio: float) -> Audio:
    """Play `ratio` times faster (pitch and formants rise, too), band-limited, through one FFT.

    Also converts rates: ratio = source rate / 16000.
    """
    if abs(ratio - 1.0) < 1e-6 or len(audio) < 16:
        return audio.astype(np.float32, copy=False)
    target = fft.next_fast_len(max(16, round(len(audio) / ratio)), real=True)
    source = round(target * ratio)
    padded = np.zeros(source, np.float32)
    padded[: min(source, len(audio))] = audio[:source]
    spectrum = fft.rfft(padded)
    bins = target // 2 + 1
    if bins <= len(spectrum):
        spectrum = spectrum[:bins]
    else:
        spectrum = np.concatenate([spectrum, np.zeros(bins - len(spectrum), spectrum.dtype)])
    out: Audio = (fft.irfft(spectrum, target) * (target / source)).astype(np.float32)
    return out[: max(1, round(len(audio) / ratio))]


def trim(audio: Audio, floor: float = 0.02, pad: int = 160) -> Audio:
    """Cut silence (below `floor` of the peak) at both ends, keeping `pad` samples."""
    peak = float(np.abs(audio).max(initial=0.0))
    loud = np.flatnonzero(np.abs(audio) > floor * peak) if peak > 0 else np.empty(0, int)
    if not len(loud):
        return audio[:0]
    return audio[max(0, loud[0] - pad) : loud[-1] + pad]


def normal(audio: Audio) -> Audio:
    """Scaled to unit RMS."""
    level = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
    return (audio / (level + 1e-9)).astype(np.float32)


# ---- voices out of voices -------------------------------------------------------------------------------------


def _frames(audio: Audio) -> NDArray[np.complex64]:
    """Short-time spectra [frames, 257], Hann window."""
    padded = np.pad(audio, (_FRAME, _FRAME + (-len(audio)) % _STEP))
    view = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_STEP]
    spectra: NDArray[np.complex64] = fft.rfft(view * np.hanning(_FRAME).astype(np.float32), axis=1)
    return spectra


def _overlap_add(spectra: NDArray[np.complex64], length: int) -> Audio:
    """Inverse of `_frames`."""
    window = np.hanning(_FRAME).astype(np.float32)
    pieces = fft.irfft(spectra, _FRAME, axis=1).astype(np.float32) * window
    out = np.zeros((len(pieces) - 1) * _STEP + _FRAME, np.float32)
    for phase in range(_FRAME // _STEP):
        group = pieces[phase :: _FRAME // _STEP]
        out[phase * _STEP : phase * _STEP + group.size] += group.ravel()
    return (out / (np.square(window).sum() / _STEP))[_FRAME : _FRAME + length]


def _envelopes(spectra: NDArray[np.complex64], order: int = 28) -> NDArray[np.float32]:
    """Spectral envelopes by cepstral smoothing, [frames, 257]."""
    log = np.log(np.abs(spectra) + 1e-5)
    cepstrum = fft.irfft(log, axis=1)
    cepstrum[:, order : _FRAME - order + 1] = 0.0
    envelope: NDArray[np.float32] = np.exp(fft.rfft(cepstrum, axis=1).real).astype(np.float32)
    return envelope


def _stretched(envelope: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Envelopes with formants moved to `factor` times their frequency."""
    at = np.clip(np.arange(envelope.shape[1]) / factor, 0, envelope.shape[1] - 1.001)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    return envelope[:, low] * (1 - part) + envelope[:, low + 1] * part


def move_formants(audio: Audio, factor: float) -> Audio:
    """A longer (factor < 1) or shorter vocal tract at the same pitch and speed."""
    spectra = _frames(audio)
    envelope = _envelopes(spectra)
    return _overlap_add((spectra * (_stretched(envelope, factor) / envelope)).astype(np.complex64), len(audio))


def revoice(
    audio: Audio, pitch: float, slope: float, factor: float, breath: float, rng: np.random.Generator
) -> Audio:
    """A new voice from the envelopes alone, as an LPC vocoder makes it: pulses and noise for the vocal cords.

    `pitch` Hz at the start, multiplied by 2**slope towards the end; `factor` moves the formants; `breath` 0 … 1 is
    the noise among the pulses. Diphone synthesisers sound like this.
    """
    spectra = _frames(audio)
    envelope = _envelopes(spectra)
    power = np.square(np.abs(spectra))
    low, high = power[:, 3:40].sum(1), power[:, 90:].sum(1)
    voiced = np.clip(low / (low + 2.0 * high + 1e-9), 0.0, 1.0)
    length = len(audio) + 2 * _FRAME
    contour = pitch * 2 ** (
        slope * np.linspace(0, 1, length) + 0.05 * np.sin(np.linspace(0, rng.uniform(4, 14), length))
    )
    phase = np.cumsum(contour / RATE)
    pulses = np.zeros(length, np.float32)
    edges = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    pulses[edges] = np.sqrt(RATE / contour[edges])
    noise = rng.standard_normal(length).astype(np.float32)
    count = len(spectra)
    cords, air = _frames(pulses)[:count], _frames(noise)[:count]
    mix = (voiced * (1 - breath))[:, None]
    scale = 1.0 / np.sqrt(np.square(np.hanning(_FRAME)).sum())
    excitation = (np.sqrt(mix) * cords + np.sqrt(1 - mix) * air) * scale
    return _overlap_add((excitation * _stretched(envelope, factor)).astype(np.complex64), len(audio))


# ---- rooms and colour -----------------------------------------------------------------------------------------


def convolve(audio: Audio, kernel: Audio) -> Audio:
    """Linear convolution cut to the length of `audio`."""
    size = fft.next_fast_len(len(audio) + len(kernel) - 1, real=True)
    out: Audio = fft.irfft(fft.rfft(audio, size) * fft.rfft(kernel, size), size).astype(np.float32)
    return out[: len(audio)]


def room(rng: np.random.Generator) -> Audio:
    """A random room: direct sound, a few early reflections and an exponential tail (RT60 0.12 … 0.9 s)."""
    decay = rng.uniform(0.12, 0.9)
    length = int(decay * RATE)
    time = np.arange(length) / RATE
    # The tail loses its high frequencies first: white noise blended into smoothed noise along the decay.
    white = rng.standard_normal(length)
    soft = np.convolve(white, np.ones(6) / 2.45, "same")
    blend = np.clip(time / decay * rng.uniform(0.5, 2.0), 0, 1)
    tail = (white * (1 - blend) + soft * blend) * np.exp(-6.9 * time / decay)
    tail[: int(rng.uniform(0.001, 0.008) * RATE)] = 0
    for _ in range(int(rng.integers(2, 9))):
        tail[rng.integers(16, min(length, 900))] += rng.uniform(-1, 1) * 6
    tail *= 10 ** (-rng.uniform(-5, 12) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return tail.astype(np.float32)


def equaliser(rng: np.random.Generator) -> Audio:
    """A short linear-phase filter of +-9 dB; one in eight is a telephone band."""
    grid = np.linspace(0, 1, 129)
    gains = np.interp(grid, np.sort(np.r_[0, rng.random(4), 1]), rng.uniform(-9, 9, 6))
    if rng.random() < 0.12:
        gains = np.where((grid < 300 / 8000) | (grid > 3400 / 8000), -30.0, gains)
    response = np.fft.fftshift(np.fft.irfft(10 ** (gains / 20), 256)) * np.hanning(256)
    return response.astype(np.float32)


# ---- noises ---------------------------------------------------------------------------------------------------


def coloured(length: int, slope: float, rng: np.random.Generator) -> Audio:
    """Noise whose power falls as f**-slope: 0 white, 1 pink, 2 brown. Unit RMS."""
    size = fft.next_fast_len(length, real=True)
    spectrum = fft.rfft(rng.standard_normal(size).astype(np.float32))
    frequency = np.maximum(np.arange(len(spectrum), dtype=np.float32), 1 + 20 * size / RATE)
    return normal(fft.irfft(spectrum * frequency ** (-slope / 2), size)[:length].astype(np.float32))


def music(length: int, rng: np.random.Generator) -> Audio:
    """Something like music: decaying harmonic chords at random times. Unit RMS."""
    out = np.zeros(length, np.float32)
    at = 0
    while at < length:
        count = min(int(rng.uniform(0.1, 0.6) * RATE), length - at)
        time = np.arange(count, dtype=np.float32) / RATE
        for _ in range(int(rng.integers(1, 4))):
            pitch, decay, tilt = 110 * 2 ** (rng.integers(0, 36) / 12), rng.uniform(1, 8), rng.uniform(0.7, 2)
            shape = np.exp(-time * decay)
            for harmonic in range(1, 6):
                out[at : at + count] += shape * np.sin(2 * np.pi * pitch * harmonic * time) / harmonic**tilt
        at += count
    return normal(out)


def clicks(length: int, rng: np.random.Generator) -> Audio:
    """Bursts: keys, doors, dishes. Unit RMS."""
    out = np.zeros(length, np.float32)
    for _ in range(max(1, int(length / RATE * rng.uniform(0.5, 4)))):
        count = int(rng.integers(50, 4000))
        at = int(rng.integers(0, max(1, length - count)))
        burst = rng.standard_normal(count) * np.exp(-np.arange(count) / (count / 5)) * rng.uniform(0.2, 3)
        out[at : at + count] += burst[: length - at].astype(np.float32)
    return normal(out)


def babble(speech: Audio, length: int, talkers: int, rng: np.random.Generator) -> Audio:
    """`talkers` stretches of `speech` (longer than `length`) at once. Unit RMS."""
    out = np.zeros(length, np.float32)
    for _ in range(talkers):
        start = int(rng.integers(0, len(speech) - length))
        out += normal(speech[start : start + length].astype(np.float32)) * np.float32(rng.uniform(0.6, 1.0))
    return normal(out)
