"""Speech to text by Moonshine, for the assistant's turns. L3; used by one thread.

A command is read whole when it has ended, and in part while it is spoken, as far as processor time is left for that.
How a sound is read is the `Reader`'s business: free text here; what can be asked may guide it elsewhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.audio.chunk import RATE, Pcm
from noctule.audio.endpointing import ENDED, SPEAKING, Endpointer, EndpointSettings
from noctule.lm.speech.moonshine.belief import doubt, silent
from noctule.lm.speech.moonshine.greedy import greedy
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.moonshine.shared import SharedModel
from noctule.lm.speech.moonshine.windows import transcribe
from noctule.lm.speech.moonshine.words import words_of
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.voice.stt.partials import Agreement, Pace

Floats = NDArray[np.float32]
#: processor seconds for each second of sound that readings of an unfinished command may cost
SHARE = 0.2
#: samples by which the buffer of a command grows
_GROW = 8 * RATE
#: seconds of silence after which a command is read as if it had ended; those that end one that is whole, and one that
#: is not
_PAUSE, _WHOLE, _UNFINISHED = 0.22, 0.3, 1.5


@dataclass(frozen=True)
class Recognition:
    """words: of the likeliest reading, none where nothing is believed; readings: what may have been said, empty where
    there is one reading; over: the request is whole, and nothing that begins like it is longer; unfinished: requests
    begin like it, and none is so short; asked: the sentence that must be asked back before it is acted on, "" for
    none; weighed: for whoever wants to see how it was decided."""

    words: tuple[Word, ...]
    readings: tuple[Reading, ...] = ()
    over: bool = False
    unfinished: bool = False
    asked: str = ""
    weighed: Mapping[str, Any] = field(default_factory=dict)


class Reader(Protocol):
    """How an utterance is read."""

    def __call__(self, model: MoonshineModel, sound: Floats, *, whole: bool, lead: float = 0.0) -> Recognition:
        """sound: float32 [samples] that fit one utterance; whole: the command has ended; lead: seconds of it in which
        the end of the wake word may be. Raises ModelError."""


def free_text(model: MoonshineModel, sound: Floats, *, whole: bool, lead: float = 0.0) -> Recognition:
    """The likeliest text, unless it is one of those that stand for no speech. Of an unfinished command the text is
    taken as it is: it need not have an end yet."""
    if silent(sound):
        return Recognition(())
    utterance = model.encode(sound)
    found = greedy(utterance)
    why = doubt(model.tokenizer.decode(found.tokens), found)
    if why is not None and (whole or why != "unended"):
        return Recognition(())
    return Recognition(tuple(words_of(found, model.tokenizer, utterance.seconds)))


class MoonshineListening:
    """See base.Listening. clock: processor seconds of the calling thread."""

    def __init__(
        self, shared: SharedModel, reader: Reader, share: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._shared, self._reader, self._share, self._clock = shared, reader, share, clock
        self._pace = Pace(share)
        self._sound: Floats = np.zeros(_GROW, np.float32)
        self._length = 0
        self._agreed = Agreement()
        self.readings: Sequence[Reading] = ()
        #: see base.Guided
        self.asked = ""
        self.silence: float | None = None
        self.lead = 0.0
        self.weighed: Mapping[str, Any] = {}
        self._pause = Endpointer(EndpointSettings(silence=_PAUSE, patience=math.inf, longest=math.inf))
        #: the command as it was read in the pause that it is in
        self._settled: Recognition | None = None

    @property
    def guess(self) -> Sequence[Word]:
        return self._agreed.words

    def feed(self, samples: Pcm) -> Sequence[Word | EndOfTurn]:
        end = self._length + len(samples)
        if end > len(self._sound):
            self._sound = np.concatenate([self._sound, np.zeros(max(_GROW, len(samples)), np.float32)])
        self._sound[self._length : end] = samples.astype(np.float32) / np.float32(32768)
        self._length = end
        state = self._pause.feed(samples)
        if end > self._shared.longest * RATE or self._share() <= 0:
            return []
        if state == ENDED:
            self._pause.begin()
            self._settle(end)
        elif state == SPEAKING and self._settled is not None:
            self._settled, self.silence = None, None
        elif self._pace.due(end):
            began = self._clock()
            with self._shared as model:
                heard = self._reader(model, self._sound[:end], whole=False, lead=self.lead)
            self._pace.read(end, self._clock() - began)
            self._agreed.add(heard.words)
        return []

    def _settle(self, end: int) -> None:
        """A pause: read what was said as if it were all, which it may be."""
        began = self._clock()
        with self._shared as model:
            heard = self._settled = self._reader(model, self._sound[:end], whole=True, lead=self.lead)
        self._pace.read(end, self._clock() - began)
        self._agreed.add(heard.words)
        self.silence = _WHOLE if heard.over else _UNFINISHED if heard.unfinished else None

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        sound, self._agreed = self._sound[: self._length], Agreement()
        if len(sound) > self._shared.longest * RATE:
            return [
                word for words in transcribe(lambda: self._shared, [sound], self._shared.longest) for word in words
            ]
        heard = self._settled
        if heard is None:
            with self._shared as model:
                heard = self._reader(model, sound, whole=True, lead=self.lead)
        self.readings, self.asked, self.weighed = heard.readings, heard.asked, heard.weighed
        return heard.words

    def cancel(self) -> None:
        """Nothing is under way between two calls."""


class MoonshineRecogniser:
    """See base.Recogniser. shared: owned from here on; share: processor seconds for each second of sound that may be
    spent on words while they are spoken, asked each time."""

    def __init__(
        self,
        shared: SharedModel,
        reader: Reader = free_text,
        share: Callable[[], float] = lambda: SHARE,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._shared, self._reader, self._share, self._clock = shared, reader, share, clock
        self.confidence = shared.confidence

    @property
    def name(self) -> str:
        return self._shared.name

    def begin(self) -> MoonshineListening:
        return MoonshineListening(self._shared, self._reader, self._share, self._clock)

    def close(self) -> None:
        """Free the model, unless somebody else uses it."""
        self._shared.close()
