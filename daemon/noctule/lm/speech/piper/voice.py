"""A Piper voice with its front end: text of one clause in, sound out. Used by one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import NoctuleError
from noctule.lm.speech.piper.clauses import Clause
from noctule.lm.speech.piper.espeak import Espeak
from noctule.lm.speech.piper.model import Manner, PiperModel
from noctule.lm.speech.piper.phonemes import Phonemizer
from noctule.lm.speech.reading_aloud import said

Floats = NDArray[np.float32]


class PiperVoice:
    """Owns the model and espeak-ng's process. Make with `open`."""

    def __init__(self, model: PiperModel, espeak: Espeak | None = None) -> None:
        self.model = model
        self._espeak = espeak or Espeak()
        self._phonemizer = Phonemizer(model.settings, self._espeak)

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1, cache_dir: Path | None = None) -> PiperVoice:
        """Load a package and start espeak-ng where the voice needs it. Raises NoctuleError."""
        voice = cls(PiperModel.open(folder, threads=threads, cache_dir=cache_dir))
        try:
            voice.ids("a")
        except NoctuleError:
            voice.close()
            raise
        return voice

    @property
    def unknown(self) -> int:
        """Phonemes left out because the voice does not have them."""
        return self._phonemizer.unknown

    def close(self) -> None:
        """Free the model, end the process."""
        self._espeak.close()
        self.model.close()

    def ids(self, text: str) -> list[list[int]]:
        """The phoneme numbers of each sentence of a text, none longer than the model takes."""
        out: list[list[int]] = []
        for sentence in self._phonemizer.sentences(text):
            out += self._fitting(sentence)
        return out

    def _fitting(self, phonemes: list[str]) -> list[list[int]]:
        ids = self._phonemizer.ids(phonemes)
        if len(ids) <= self.model.longest:
            return [ids]
        middle = len(phonemes) // 2
        blanks = [i for i, phoneme in enumerate(phonemes) if phoneme == " "]
        at = min(blanks, key=lambda i: abs(i - middle), default=middle) + 1
        return [*self._fitting(phonemes[:at]), *self._fitting(phonemes[at:])] if at < len(phonemes) else [
            *self._fitting(phonemes[:middle]), *self._fitting(phonemes[middle:])
        ]  # fmt: skip

    def say(self, clause: Clause, manner: Manner, pause: float) -> Iterator[Floats]:
        """The clause in pieces of float32 in [-1, 1], then silence: what it asks for, else `pause` seconds after a
        sentence. Raises NoctuleError."""
        english = self.model.settings.language.startswith("en")
        text = said(clause.text) if english else clause.text
        spoken = False
        for ids in self.ids(text) if any(c.isalnum() for c in text) or "[[" in text else []:
            spoken = True
            yield from self.model.say(ids, manner)
        seconds = clause.silence or (pause if clause.ends and spoken else 0.0)
        if seconds:
            yield np.zeros(int(seconds * self.model.settings.rate), np.float32)
