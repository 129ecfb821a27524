"""Reads the user's WAV files: 16-bit PCM of any rate and channel count, as 16 kHz mono."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.sound.signal import Audio, resample
from noctule.core.errors import InputError


def read_wav(path: Path) -> Audio:
    """Float32 mono at 16 kHz, -1 … 1."""
    try:
        with wave.open(str(path)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise InputError(
            f"{path}: not a readable WAV file: {error}", "ffmpeg -i FILE -ar 16000 -ac 1 out.wav"
        ) from None
    if width != 2:
        raise InputError(f"{path}: {8 * width}-bit samples; 16-bit is read", "ffmpeg -i FILE -c:a pcm_s16le out.wav")
    samples = np.frombuffer(data, "<i2").astype(np.float32).reshape(-1, channels).mean(1) / 32768.0
    if len(samples) < rate // 20:
        raise InputError(f"{path}: shorter than 50 ms")
    return resample(samples, rate / 16_000)


def read_folder(folder: Path) -> list[tuple[str, Audio]]:
    """Every .wav below `folder`, by name."""
    return [(str(path.relative_to(folder)), read_wav(path)) for path in sorted(folder.rglob("*.wav"))]


def write_wav(path: Path, samples: NDArray[np.int16], rate: int = 16_000) -> None:
    """Mono 16-bit."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
