"""SVOX Pico through its command: two English voices made of units, a process for each utterance, 100 times real time.

Debian has it in non-free, because it cannot be built from source; code and voices are under the Apache licence.
Phonemes are not understood: see `flite.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample

_KNOWN = ("en-US", "en-GB")


def voices() -> list[str]:
    """The English voices, where the command is installed."""
    return list(_KNOWN) if shutil.which("pico2wave") else []


class Pico:
    """The pico2wave command."""

    name = "pico"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-pico-")
        self._file = Path(self._folder.name) / "speech.wav"

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        speed, pitch = int(rng.integers(75, 136)), int(rng.integers(75, 131))
        text = "".join(c for c in " ".join(word.text for word in words) if c.isalnum() or c in " ,.'?!-")
        self._file.unlink(missing_ok=True)
        subprocess.run(
            ["pico2wave", "-l", voice, "-w", str(self._file),
             f'<speed level="{speed}"><pitch level="{pitch}">{text}</pitch></speed>'],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        if not self._file.exists():
            return None
        with wave.open(str(self._file)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768.0
            return resample(samples, file.getframerate() / 16_000) if len(samples) else None

    def close(self) -> None:
        self._folder.cleanup()
