"""Text to speech by a Piper voice, for the assistant's answers. Used by one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from noctule.config.speech import Speech
from noctule.core.errors import InputError
from noctule.core.scripts import foreign_script
from noctule.lm.speech.piper.clauses import Clause, ClauseCutter
from noctule.lm.speech.piper.model import Manner
from noctule.lm.speech.piper.voice import PiperVoice

Samples = NDArray[np.float32]
#: characters of a text by which its script is judged.
_LOOKED_AT = 500


class PiperSynthesis:
    """See tts.base.Synthesis. Clauses are spoken as soon as they are whole, each in pieces."""

    def __init__(self, voice: PiperVoice, manner: Manner, pause: float, volume: float) -> None:
        self._voice, self._manner, self._pause, self._volume = voice, manner, pause, np.float32(volume)
        self._cutter = ClauseCutter()
        self._waiting: deque[Clause] = deque()
        self._sound: Iterator[Samples] | None = None
        self._complete = False
        self._text = ""
        self._spoken = False
        self.rate = voice.model.settings.rate

    @property
    def done(self) -> bool:
        return self._complete and self._sound is None and not self._waiting

    def more(self, text: str) -> None:
        self._text = (self._text + text)[:_LOOKED_AT]
        self._waiting += self._cutter.more(text)

    def close(self) -> None:
        self._waiting += self._cutter.close()
        self._complete = True

    def step(self) -> Samples | None:
        if self._waiting and not self._spoken:
            language = self._voice.model.settings.language
            if script := foreign_script(self._text, language):
                raise InputError(
                    f"The voice {self._voice.model.name} speaks {language}; it cannot speak {script} letters.",
                    "name a voice of that language in speech.tts: docs/voice.md",
                )
            self._spoken = True
        while self._sound is not None or self._waiting:
            if self._sound is None:
                clause = self._waiting.popleft()
                last = self._complete and not self._waiting
                self._sound = self._voice.say(clause, self._manner, 0.0 if last else self._pause)
            piece = next(self._sound, None)
            if piece is None:
                self._sound = None
                continue
            loud: Samples = np.clip(piece * self._volume, -1.0, 1.0)
            return loud
        return None

    def cancel(self) -> None:
        self._sound = None
        self._waiting.clear()


class PiperSynthesizer:
    """See tts.base.Synthesizer. voice: owned from here on; speech: what is configured now, asked for each text."""

    def __init__(self, voice: PiperVoice, speech: Callable[[], Speech]) -> None:
        self._voice, self._speech = voice, speech

    @property
    def name(self) -> str:
        return self._voice.model.name

    def begin(self) -> PiperSynthesis:
        speech, settings = self._speech(), self._voice.model.settings
        manner = Manner(speech.speed, settings.speaker(speech.speaker), speech.seed)
        return PiperSynthesis(self._voice, manner, speech.pause, speech.volume)

    def close(self) -> None:
        self._voice.close()
