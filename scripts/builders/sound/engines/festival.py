"""festival through its command language: one process per engine object, one WAV file per utterance.

Voices are those under its `voices` folder; slow to start, then about 100 times real time (diphones). Phonemes are
not understood: see `flite.py`.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample

_ROOTS = (Path("/usr/share/festival/voices"), Path("/usr/local/share/festival/voices"))
#: folders of English voices.
_ENGLISH = ("english", "us")


def voices() -> list[str]:
    """Installed English voices, sorted."""
    found = {item.name for root in _ROOTS for group in _ENGLISH for item in (root / group).glob("*") if item.is_dir()}
    return sorted(found)


class Festival:
    """A festival process that waits for commands on its standard input."""

    name = "festival"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-festival-")
        self._file = Path(self._folder.name) / "speech.wav"
        self._process = subprocess.Popen(
            ["festival", "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, bufsize=1,
        )  # fmt: skip

    def _do(self, command: str) -> bool:
        """Run one command and wait for the mark printed after it; False when festival has ended.

        The mark goes to stderr: festival buffers its stdout when it is a pipe.
        """
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        try:
            self._process.stdin.write(f'{command}\n(format stderr "noctule-done\\n")\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return any("noctule-done" in line for line in self._process.stderr)

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        stretch, pitch, spread = rng.uniform(0.8, 1.3), rng.uniform(85, 170), rng.uniform(8, 25)
        text = "".join(c for c in " ".join(word.text for word in words) if c.isalnum() or c in " ,.'?!-")
        self._file.unlink(missing_ok=True)
        alive = self._do(
            f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.3f})"
            f" (set! int_lr_params '((target_f0_mean {pitch:.1f}) (target_f0_std {spread:.1f})"
            f" (model_f0_mean 170) (model_f0_std 34)))"
            f' (utt.save.wave (utt.synth (Utterance Text "{text}")) "{self._file}" \'riff))'
        )
        if not alive:
            raise RuntimeError(f"festival ended while speaking with {voice!r}")
        if not self._file.exists():
            return None
        with wave.open(str(self._file)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768.0
            return resample(samples, file.getframerate() / 16_000)

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process.wait(timeout=10)
        self._folder.cleanup()
