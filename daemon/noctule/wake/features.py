"""The front end: 16 kHz PCM to 40 noise-suppressed, gain-normalised log filter-bank channels every 10 ms.

The arithmetic is TFLite Micro's audio front end (window 30 ms, hop 10 ms, PCAN gain, log scale) as packaged by
`pymicro-features`; microWakeWord and ESPHome use the same. A model is only meaningful with the front end it was
trained on, so this file also *pins* it: the digest of what the installed library answers to a fixed signal is
stored in every package we build and compared at load.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError

SAMPLE_RATE = 16_000
#: samples between two frames (10 ms).
HOP = 160
#: samples that the first frame needs (30 ms).
WINDOW = 480
CHANNELS = 40
#: int8 quantisation of a feature, fixed by the microWakeWord v2 contract: real = (int8 + 128) * 26 / 255.
FEATURE_SCALE = 26.0 / 255.0
FEATURE_ZERO = -128
#: the name that a package gives its front end; any other is refused.
FRONT_END = "pymicro-features"
#: what release 2.0.2 makes of `reference_signal` on x86-64 with glibc 2.36: int8 [98, 40], raw.
KEPT_ANSWER = Path(__file__).with_name("front_end.bin")


def _new_frontend() -> Any:
    """A fresh `pymicro_features.MicroFrontend`; the only place that imports the library."""
    try:
        from pymicro_features import MicroFrontend
    except ImportError as error:
        raise ModelError(
            "the wake word's front end, pymicro-features, is not installed", "pip install pymicro-features"
        ) from error
    return MicroFrontend()


def quantise(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Float features to the model's int8 input; values outside 0 … 26 saturate."""
    scaled = np.rint(features / FEATURE_SCALE + FEATURE_ZERO)
    quantised: NDArray[np.int8] = np.clip(scaled, -128, 127).astype(np.int8)
    return quantised


class FrontEnd:
    """Streaming features. Holds the noise and gain estimates, so one instance belongs to one stream."""

    def __init__(self) -> None:
        self._frontend = _new_frontend()
        self._pending = b""

    def reset(self) -> None:
        """Forget the stream: pending samples, noise and gain estimates."""
        self._frontend.reset()
        self._pending = b""

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int8]:
        """Take mono 16 kHz samples of any length; return the frames they complete, int8 [frames, 40].

        The first frame comes after 480 samples, the next ones every 160. What does not fill a hop is kept.
        """
        data = self._pending + samples.astype("<i2", copy=False).tobytes()
        frames: list[list[float]] = []
        at, step, process = 0, HOP * 2, self._frontend.process_samples
        while at + step <= len(data):
            result = process(data[at : at + step])
            at += int(result.samples_read) * 2
            if result.features:
                frames.append(result.features)
        self._pending = data[at:]
        if not frames:
            return np.empty((0, CHANNELS), np.int8)
        return quantise(np.asarray(frames, np.float32))


def extract(samples: NDArray[np.int16]) -> NDArray[np.int8]:
    """Features of a whole clip from a fresh front end, int8 [frames, 40]."""
    return FrontEnd().push(samples)


def reference_signal() -> NDArray[np.int16]:
    """One second of integer arithmetic only (a swept square-ish tone and noise), equal on every machine."""
    index = np.arange(SAMPLE_RATE, dtype=np.int64)
    sweep = ((index * index) // 900) % 4001 - 2000
    noise = (index * 1_103_515_245 + 12_345) // 65_536 % 2_001 - 1_000
    loud = np.where((index // 4_000) % 2 == 0, 4, 1)
    return (sweep * loud + noise).astype(np.int16)


@functools.cache
def digest() -> str:
    """SHA-256 (hex) of the installed front end's int8 answer to `reference_signal`: the pin.

    The C library's mathematics rounds last bits differently (glibc 2.41, ARM), which moves a value in a thousand by a
    step or three. An answer that agrees with the kept one but for that is the same front end, and has its digest.
    """
    answer = extract(reference_signal())
    kept = np.frombuffer(KEPT_ANSWER.read_bytes(), np.int8).reshape(-1, CHANNELS)
    return hashlib.sha256((kept if agrees(answer, kept) else answer).tobytes()).hexdigest()


def agrees(answer: NDArray[np.int8], kept: NDArray[np.int8]) -> bool:
    """Whether two answers, int8 [frames, 40], differ by no more than rounding: 99 in 100 equal, none by 8 steps."""
    if answer.shape != kept.shape:
        return False
    apart = np.abs(answer.astype(np.int16) - kept)
    return bool(apart.max() < 8 and np.mean(apart > 0) <= 0.01)
