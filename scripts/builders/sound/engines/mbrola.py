"""MBROLA's English voices, spoken by espeak-ng's command: recorded people cut into diphones. For calibration only.

Debian has the program in contrib and the voices in non-free: they may not be used commercially, so nothing is trained
on them; a threshold is only a number. A process for each utterance, 100 times real time. Phonemes are not understood:
see `flite.py`.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample

_DATA = Path("/usr/share/mbrola")
_KNOWN = ("en1", "us1", "us2", "us3")


def voices() -> list[str]:
    """The English voices that are installed, where the program is, too."""
    if not (shutil.which("mbrola") and shutil.which("espeak-ng")):
        return []
    return [name for name in _KNOWN if (_DATA / name).exists()]


class Mbrola:
    """The espeak-ng command with a voice of MBROLA's."""

    name = "mbrola"

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        rate, pitch = int(rng.uniform(105, 215)), int(rng.uniform(25, 76))
        told = f"espeak-ng -v mb-{voice} -s {rate} -p {pitch} --stdout --".split()
        text = " ".join(word.text for word in words)
        done = subprocess.run([*told, text], check=True, capture_output=True, timeout=60)
        with wave.open(io.BytesIO(done.stdout)) as file:
            # the length in the head of a stream is not the sound's
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768.0
            return resample(samples, file.getframerate() / 16_000) if len(samples) else None
