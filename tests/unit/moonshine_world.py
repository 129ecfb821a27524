"""What the tests of the recogniser share: the real package, sounds of synthesisers, and a cache for its weights."""

from __future__ import annotations

import subprocess
import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.audio.resample import Resampler
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.moonshine.shared import SharedModel

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
PACKAGE = MODELS / "moonshine-tiny-en"
TIMER = ROOT / "config" / "demo" / "timer.wav"
#: what every reading of TIMER holds ("hey noctule, set a timer for two minutes")
TIMER_WORDS = "a timer for two minutes."

Floats = NDArray[np.float32]


def cache_folder() -> Path:
    """Shared by all tests of this checkout, so that the weights are repacked once."""
    folder = ROOT / ".cache" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load() -> MoonshineModel:
    return MoonshineModel.load(PACKAGE, cache_dir=cache_folder())


def shared() -> SharedModel:
    return SharedModel.open(PACKAGE, cache_dir=cache_folder())


def read(path: Path) -> Floats:
    """A 16-bit mono WAV file at 16 kHz."""
    with wave.open(str(path)) as file:
        assert file.getnchannels() == 1
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        rate = file.getframerate()
    if rate == 16000:
        return samples
    resampler = Resampler(rate, 16000)
    return np.concatenate([resampler.push(samples), resampler.finish()])


@cache
def speech(text: str) -> Floats:
    """The text spoken by flite's natural voice: a synthesiser, not a person."""
    folder = ROOT / ".cache" / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{abs(hash_of(text)):x}.wav"
    if not path.exists():
        fresh = path.with_suffix(".new")
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", str(fresh)], check=True, capture_output=True)
        fresh.rename(path)
    return read(path)


def hash_of(text: str) -> int:
    """The same in every process."""
    value = 0
    for byte in text.encode():
        value = (value * 257 + byte) % (1 << 61)
    return value


def silence(seconds: float) -> Floats:
    return np.zeros(round(seconds * 16000), np.float32)
