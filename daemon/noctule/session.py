"""One conversation turn after another: asleep, listening, thinking, speaking. L3; pure, driven by its callers.

    asleep --wake word--> listening --end of speech--> thinking --first sound--> speaking --end--> asleep
                              |  nobody spoke: asleep      |          |
                              +<------- wake word (barge-in) ---------+      stop word: asleep, from anywhere

It knows neither microphones nor models: sound and detections come in by `hear`, finished utterances go out by
`on_utterance`, and whoever thinks and speaks reports with `speaking` and `done`. Turns are numbered, so that a late
report about a turn that was interrupted changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from noctule.audio.chunk import RATE, Chunk, Pcm
from noctule.audio.endpoint import ENDED, NOTHING, TOO_LONG, Endpointer, EndpointSettings
from noctule.audio.ring import SoundRing
from noctule.events import Bus

ASLEEP = "asleep"
LISTENING = "listening"
THINKING = "thinking"
SPEAKING = "speaking"


class Heard(Protocol):
    """What the detector reports (see wake.detector.Detection)."""

    @property
    def word(self) -> str: ...
    @property
    def phrase(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def threshold(self) -> float: ...


@dataclass(frozen=True)
class Utterance:
    """A finished command. samples: int16 mono 16 kHz with the pre-roll; times are monotonic seconds."""

    turn: int
    word: str
    samples: Pcm
    woken: float
    ended: float
    #: "ended" by silence, or "too long".
    reason: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@dataclass(frozen=True)
class SessionSettings:
    """pre_roll: seconds kept from before the wake word was decided; stop_words: ids that end a turn."""

    pre_roll: float = 0.6
    stop_words: frozenset[str] = frozenset()
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)


class Session:
    """on_utterance: takes a finished command, in the hearing thread, must not block; on_interrupt: a turn is over
    before its time, silence and cancel it (also in the hearing thread)."""

    def __init__(
        self,
        bus: Bus,
        ring: SoundRing,
        on_utterance: Callable[[Utterance], None],
        on_interrupt: Callable[[int], None],
        settings: SessionSettings | None = None,
    ) -> None:
        self._bus = bus
        self._ring = ring
        self._on_utterance = on_utterance
        self._on_interrupt = on_interrupt
        self.settings = settings or SessionSettings()
        self._endpointer = Endpointer(self.settings.endpoint)
        self._lock = threading.RLock()
        self._state = ASLEEP
        self._turn = 0
        self._word = ""
        self._woken = 0.0
        self._first = 0

    @property
    def state(self) -> str:
        with self._lock:
            return self._state

    @property
    def turn(self) -> int:
        with self._lock:
            return self._turn

    # -- the hearing thread --------------------------------------------------------------------------------------

    def hear(self, chunk: Chunk, detections: Iterable[Heard]) -> None:
        """Sound, and the words detected in it. The ring must already hold the chunk."""
        for heard in detections:
            self._detected(chunk, heard)
        with self._lock:
            listening = self._state == LISTENING
        if not listening:
            self._endpointer.observe(chunk.samples)
            return
        state = self._endpointer.feed(chunk.samples)
        if state == NOTHING:
            self._sleep("session.nothing", "Nobody spoke after the wake word")
        elif state in (ENDED, TOO_LONG):
            self._finish(chunk, state)

    def _detected(self, chunk: Chunk, heard: Heard) -> None:
        end = chunk.time + len(chunk.samples) / RATE
        facts = {"word": heard.word, "score": round(heard.score, 3), "threshold": heard.threshold}
        stop = heard.word in self.settings.stop_words
        with self._lock:
            before, turn = self._state, self._turn
            if stop and before == ASLEEP:
                return  # nothing to stop
            self._state = ASLEEP if stop else LISTENING
            if not stop:
                self._turn += 1
                self._word, self._woken = heard.word, end
                self._first = max(0, self._ring.end - int(self.settings.pre_roll * RATE))
        if before in (THINKING, SPEAKING):
            self._bus.publish(
                "session.interrupted", "session", f'Interrupted by "{heard.phrase}"', 5, turn=turn, **facts
            )
            self._on_interrupt(turn)
        if stop:
            self._bus.publish("session.stopped", "session", f'Stopped by "{heard.phrase}"', 5, turn=turn, **facts)
            return
        self._endpointer.begin()
        self._bus.publish(
            "wake.heard",
            "wake",
            f'Heard "{heard.phrase}" ({heard.score:.2f})',
            5,
            turn=self._turn,
            captured=end,
            **facts,
        )

    def _finish(self, chunk: Chunk, reason: str) -> None:
        with self._lock:
            samples, lost = self._ring.read(self._first)
            self._state = THINKING
            ended = chunk.time + len(chunk.samples) / RATE
            utterance = Utterance(self._turn, self._word, samples, self._woken, ended, reason)
        self._bus.publish(
            "session.utterance",
            "session",
            f"A command of {utterance.seconds:.1f} s was heard",
            turn=utterance.turn,
            seconds=round(utterance.seconds, 2),
            lost_seconds=round(lost / RATE, 2),
            reason=reason,
        )
        self._on_utterance(utterance)

    def _sleep(self, kind: str, message: str) -> None:
        with self._lock:
            self._state = ASLEEP
            turn = self._turn
        self._bus.publish(kind, "session", message, turn=turn)

    # -- whoever thinks and speaks -------------------------------------------------------------------------------

    def speaking(self, turn: int) -> bool:
        """The answer's first sound is about to be played; False when the turn was interrupted meanwhile."""
        return self._move(turn, (THINKING, SPEAKING), SPEAKING)

    def done(self, turn: int) -> bool:
        """The turn is over; False when it already was."""
        return self._move(turn, (THINKING, SPEAKING), ASLEEP)

    def reset(self) -> None:
        """Drop whatever is going on, as muting must: nothing that was heard is kept."""
        with self._lock:
            before, turn = self._state, self._turn
            self._state = ASLEEP
            self._turn += 1
        self._endpointer = Endpointer(self.settings.endpoint)
        self._ring.clear()
        if before in (THINKING, SPEAKING):
            self._on_interrupt(turn)

    def _move(self, turn: int, allowed: tuple[str, ...], state: str) -> bool:
        with self._lock:
            if turn != self._turn or self._state not in allowed:
                return False
            self._state = state
            return True

    def report(self) -> dict[str, Any]:
        """For `status`."""
        with self._lock:
            return {"state": self._state, "turns": self._turn, "noise_floor_db": round(self._endpointer.floor, 1)}
