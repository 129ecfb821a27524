"""Spoken turns with everything real but the models and the sound card: session, turns and voice in their threads.

A test feeds sound hop by hop and says which words are detected in it; the recogniser and the voice do what the test
has written down for them. Sound carries the test's own time; nothing here looks at the wall clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from noctule.audio.chunk import HOP, RATE, Chunk
from noctule.audio.ring import SoundRing
from noctule.core.clock import ManualClock
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus, Event, Subscription
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.service.supervisor import Part
from noctule.voice.session import SessionSettings
from noctule.voice.speech_worker import SpeechWorker
from noctule.voice.transcript import Spoken
from noctule.voice.turn_worker import TurnWorker
from waiting import WAIT

LOUD, QUIET = 3000, 40


@dataclass(frozen=True)
class Detected:
    word: str = "hey"
    phrase: str = "hey noctule"
    score: float = 0.97
    threshold: float = 0.9


HEY, STOP = Detected(), Detected("stop", "stop")


class Script:
    """A recogniser that says `says[n]` once n seconds of a command were fed, and `last` at its end."""

    name = "script"

    def __init__(self, confidence: float = 0.0) -> None:
        self.confidence = confidence
        self.says: list[tuple[float, Word | EndOfTurn]] = []
        self.last: list[Word | EndOfTurn] = []
        self.readings: tuple[Reading, ...] = ()
        #: seconds of the command -> what is likely from then on
        self.guesses: list[tuple[float, list[Word]]] = []
        self.error: BaseException | None = None
        self.hold: threading.Event | None = None
        self.fed: list[int] = []
        self.quiet: list[float] = []
        self.cancelled = 0
        self.closed = False
        #: released at each turn that is begun
        self.begun = threading.Semaphore(0)

    def begin(self) -> Script:
        self.fed.append(0)
        self._left = list(self.says)
        self.begun.release()
        return self

    def feed(self, samples: np.ndarray) -> Sequence[Word | EndOfTurn]:
        if self.error is not None:
            raise self.error
        if self.hold is not None:
            assert self.hold.wait(WAIT)
        self.fed[-1] += len(samples)
        heard = []
        while self._left and self._left[0][0] * RATE <= self.fed[-1]:
            heard.append(self._left.pop(0)[1])
        return heard

    @property
    def guess(self) -> Sequence[Word]:
        likely = [words for at, words in self.guesses if at * RATE <= self.fed[-1]]
        return likely[-1] if likely else []

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        self.quiet.append(quiet)
        return self.last

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        self.closed = True


def said(text: str, confidence: float | None = None) -> list[Word | EndOfTurn]:
    return [Word(word, 1.0, 1.0, confidence) for word in text.split()]


class Speech:
    """A voice: each word of the text is one frame of 80 ms at 16 kHz, loud."""

    rate = 16_000

    def __init__(self, voice: Voice) -> None:
        self.voice, self.text, self.closed, self.cancelled = voice, "", False, False
        self.frames = 0

    @property
    def done(self) -> bool:
        return self.closed and self.frames >= len(self.text.split())

    def more(self, text: str) -> None:
        self.text += text

    def close(self) -> None:
        self.closed = True

    def step(self) -> np.ndarray | None:
        if self.voice.error is not None:
            raise self.voice.error
        if self.voice.hold is not None:
            assert self.voice.hold.wait(WAIT)
        if self.frames >= len(self.text.split()):
            return None
        self.frames += 1
        self.voice.stepped.release()
        return np.full(1280, 0.5, np.float32)

    def cancel(self) -> None:
        self.cancelled = True


class Voice:
    name = "robot"

    def __init__(self) -> None:
        self.texts: list[Speech] = []
        self.error: BaseException | None = None
        self.hold: threading.Event | None = None
        self.stepped = threading.Semaphore(0)
        self.closed = False

    def begin(self) -> Speech:
        self.texts.append(Speech(self))
        return self.texts[-1]

    def close(self) -> None:
        self.closed = True


class Room:
    """loudspeaker: None for a room in which nothing can be heard; voice: None for a chime only."""

    def __init__(
        self,
        recogniser: Script | None,
        loudspeaker: Any = None,
        voice: Voice | None = None,
        threshold: float | None = None,
        limit: float = 90.0,
        clock: Any = None,
    ) -> None:
        self.clock = clock or ManualClock(start=10.0)
        self.bus, self.events = Bus(), list[Event]()
        self.bus.add_sink(self.events.append)
        self.ring = SoundRing(16)
        self.mouth = (
            SpeechWorker(self.bus, self.clock, loudspeaker, lambda: voice) if loudspeaker is not None else None
        )
        #: what the worker finds when it looks for a recogniser
        self.recogniser = recogniser
        self.asked: list[str] = []
        self.pieces = ["It is ", "noon."]
        self.reply: str | None = None
        self.fails: NoctuleError | None = None
        self.thinking: threading.Event | None = None
        #: of several wordings: which one the brain takes, and how sure it is.
        self.takes: tuple[int, float | None] = (0, None)
        self.turns = TurnWorker(
            self.bus, self.clock, self.ring, self.answer, lambda: self.recogniser, self.mouth, lambda: threshold,
            SessionSettings(0.2, limit, frozenset({"stop"})),
        )  # fmt: skip
        self.session = self.turns.session
        self.index = 0
        self._rng = np.random.default_rng(3)
        self.failed: list[BaseException] = []
        self.parts: dict[str, Part] = {}

    def answer(
        self, spoken: Spoken, emit: Callable[[str], None], cancelled: Callable[[], bool], beat: Callable[[], None]
    ) -> Mapping[str, Any]:
        self.asked.append(spoken.wordings[0].text)
        if self.fails is not None:
            raise self.fails
        if len(spoken.wordings) > 1:
            index, sure = self.takes
            if not spoken.settle(index, sure):
                self.asked.pop()
                return {"reply": ""}
            self.asked[-1] = spoken.wordings[index].text
        for piece in self.pieces:
            emit(piece)
        while self.thinking is not None and not self.thinking.wait(0.01):
            beat()
            if cancelled():
                break
        return {"reply": "".join(self.pieces) if self.reply is None else self.reply}

    def play(self, seconds: float, level: float, word: Detected | None = None) -> None:
        """Noise of that level, the clock going with it; the word is detected in its last hop."""
        hops = round(seconds * 100)
        for i in range(hops):
            samples = (self._rng.standard_normal(HOP) * level).astype(np.int16)
            chunk = Chunk(samples, 10 + self.index / RATE, self.index)
            self.index += HOP
            if isinstance(self.clock, ManualClock):
                self.clock.advance(HOP / RATE)
            self.ring.write(chunk)
            self.session.hear(chunk, [word] if word is not None and i == hops - 1 else [])

    def command(self, seconds: float = 0.8) -> None:
        """A quiet second, the wake word, a command, and the silence that ends it."""
        self.play(1, QUIET)
        self.play(0.4, LOUD, HEY)
        self.play(0.1, QUIET)
        self.play(seconds, LOUD)
        self.play(0.8, QUIET)

    @contextmanager
    def running(self) -> Iterator[Subscription]:
        stop = threading.Event()
        jobs = [self.turns.job, *([self.mouth.job] if self.mouth is not None else [])]

        def main(job: Any, part: Part) -> None:
            try:
                job.run(part, stop)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.failed.append(error)

        with ExitStack() as stack:
            events = stack.enter_context(self.bus.subscribe(4096))
            threads = []
            for job in jobs:
                part = self.parts[job.name] = Part(job.name, job.max_age, self.clock)
                threads.append(threading.Thread(target=main, args=(job, part)))
                threads[-1].start()
            try:
                yield events
            finally:
                stop.set()
                for job in jobs:
                    job.wake()
                for thread in threads:
                    thread.join(WAIT)
                    assert not thread.is_alive()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]
