"""One conversation turn after another: asleep, listening, thinking, speaking. Pure, driven by its callers.

    asleep --wake word--> listening --end of speech--> thinking --first sound--> speaking --end--> asleep
      |                       |  ^  nobody spoke: asleep   |          |
      |                       |  +-- ask_again ------------+----------+
      |                       +<------- wake word (barge-in) ---------+      stop word: asleep, from anywhere
      +--announce--> speaking

It knows neither microphones nor models: sound and detections come in by `hear`, what becomes of them goes to a
`SessionListener`, and whoever recognises, thinks and speaks reports with `end_of_turn`, `speaking` and `done`. The
sound itself is in the ring: who wants it while it is being spoken reads it there, when the listener is told of it.
Turns are numbered, so that a late report about a turn that was interrupted changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from noctule.audio.chunk import RATE, Chunk
from noctule.audio.endpointing import ENDED, NOTHING, TOO_LONG, Endpointer, EndpointSettings
from noctule.audio.ring import SoundRing
from noctule.core.events import Bus
from noctule.voice.heard import Heard
from noctule.voice.utterance import Opening, Utterance

ASLEEP = "asleep"
LISTENING = "listening"
THINKING = "thinking"
SPEAKING = "speaking"

#: seconds after a detection in which the wake word itself may still be heard: detectors decide up to 0.2 s early.
SETTLE = 0.35


@dataclass(frozen=True)
class SessionSettings:
    """pre_roll: seconds kept from before the wake word was decided; stop_words: ids that end a turn; limit: seconds
    of thinking after which nobody waits any more."""

    pre_roll: float = 0.6
    limit: float = 90.0
    stop_words: frozenset[str] = frozenset()
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)


class SessionListener(Protocol):
    """Who is told of the commands. Called in the hearing thread (`finished` also in that of `end_of_turn`); none of
    them may block."""

    def opened(self, opening: Opening) -> None:
        """A command begins."""

    def heard(self) -> None:
        """The ring has more of it."""

    def finished(self, utterance: Utterance) -> None:
        """It has ended."""

    def interrupted(self, turn: int) -> None:
        """A turn is over before its time: silence and cancel it."""


class Session:
    """listener: is told of every command."""

    def __init__(
        self, bus: Bus, ring: SoundRing, listener: SessionListener, settings: SessionSettings | None = None
    ) -> None:
        self._bus = bus
        self._ring = ring
        self._listener = listener
        self.settings = settings or SessionSettings()
        self._endpointer = Endpointer(self.settings.endpoint)
        self._lock = threading.RLock()
        self._state = ASLEEP
        self._turn = 0
        self._opening = Opening(0, "", "", 0, 0.0)
        #: monotonic seconds up to which sound was heard, when thinking began, and when the command did.
        self._now = self._ended = self._began = 0.0

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
        with self._lock:
            self._now = chunk.time + len(chunk.samples) / RATE
        for heard in detections:
            self._detected(heard)
        with self._lock:
            turn = self._turn
            if self._state != LISTENING:
                self._endpointer.observe(chunk.samples)
                late = self._state == THINKING and self._now - self._ended > self.settings.limit
                state = ""
            else:
                late, state = False, self._endpointer.feed(chunk.samples)
        if late:
            # Whoever should have answered is stuck: say so, and take wake words as usual.
            message = f"The turn failed: no answer came within {self.settings.limit:g} s"
            self._sleep(turn, THINKING, "session.failed", message, 4)
        elif state == NOTHING:
            self._sleep(turn, LISTENING, "session.nothing", "Nobody spoke after the wake word")
        elif state in (ENDED, TOO_LONG):
            self._finish(turn, state)
        elif state:
            self._listener.heard()

    def _detected(self, heard: Heard) -> None:
        facts = {"word": heard.word, "score": round(heard.score, 3), "threshold": heard.threshold}
        stop = heard.word in self.settings.stop_words
        with self._lock:
            before, turn = self._state, self._turn
            if stop and before == ASLEEP:
                return  # nothing to stop
            end = self._now
            self._state = ASLEEP if stop else LISTENING
            if not stop:
                here = self._ring.end
                first = max(0, here - int(self.settings.pre_roll * RATE))
                lead = (here - first) / RATE
                opening = self._begin(Opening(turn + 1, heard.word, heard.phrase, first, end, lead=lead), SETTLE)
        if before != ASLEEP:
            self._listener.interrupted(turn)
        if before in (THINKING, SPEAKING):
            self._bus.publish(
                "session.interrupted", "session", f'Interrupted by "{heard.phrase}"', 5, turn=turn, **facts
            )
        if stop:
            self._bus.publish("session.stopped", "session", f'Stopped by "{heard.phrase}"', 5, turn=turn, **facts)
            return
        self._bus.publish(
            "wake.heard",
            "wake",
            f'Heard "{heard.phrase}" ({heard.score:.2f})',
            5,
            turn=opening.turn,
            captured=end,
            **facts,
        )
        self._listener.opened(opening)

    def _begin(self, opening: Opening, settle: float = 0.0) -> Opening:
        """Listen to a new command. The lock is held."""
        self._turn, self._opening, self._state = opening.turn, opening, LISTENING
        self._began = self._now
        self._endpointer.begin(settle)
        return opening

    def _finish(self, turn: int, reason: str) -> bool:
        with self._lock:
            if turn != self._turn or self._state != LISTENING:
                return False
            opening, last = self._opening, self._ring.end
            samples, lost = self._ring.read(opening.first, last)
            self._state, self._ended = THINKING, self._now
            spoke = min(self._now, self._began + self._endpointer.speech_end)
            utterance = Utterance(turn, opening.word, samples, opening.woken, self._now, reason, spoke, last)
        self._bus.publish(
            "session.utterance",
            "session",
            f"A command of {utterance.seconds:.1f} s was heard",
            turn=utterance.turn,
            seconds=round(utterance.seconds, 2),
            lost_seconds=round(lost / RATE, 2),
            reason=reason,
        )
        self._listener.finished(utterance)
        return True

    def _sleep(self, turn: int, state: str, kind: str, message: str, level: int = 6) -> None:
        """End a turn from `state`, unless it has gone on meanwhile."""
        if self._move(turn, (state,), ASLEEP):
            self._listener.interrupted(turn)
            self._bus.publish(kind, "session", message, level, turn=turn)

    def broken(self) -> None:
        """The sound broke off (its device was closed): a command in the middle of it is no command."""
        message = "The turn failed: the sound broke off in the middle of a command"
        self._sleep(self.turn, LISTENING, "session.failed", message, 4)

    # -- whoever recognises, thinks and speaks -------------------------------------------------------------------

    def listening(self, turn: int) -> bool:
        """Whether this turn's command is still being spoken."""
        with self._lock:
            return turn == self._turn and self._state == LISTENING

    def end_of_turn(self, turn: int) -> bool:
        """The recogniser says that the speaker has finished; False when that was known, or the turn is over."""
        return self._finish(turn, "end of turn")

    def wait_for(self, turn: int, silence: float | None) -> None:
        """End this command after so many seconds of silence; None for the settings'."""
        with self._lock:
            if turn == self._turn and self._state == LISTENING:
                self._endpointer.silence = silence

    def ask_again(self, turn: int, question: str = "") -> bool:
        """The command was not understood: listen to it once more, without a wake word. question: what was asked back
        instead. False when it is over."""
        with self._lock:
            if turn != self._turn or self._state not in (THINKING, SPEAKING):
                return False
            before = self._opening
            opening = self._begin(
                Opening(turn + 1, before.word, before.phrase, self._ring.end, self._now, True, 0.0, question)
            )
        self._listener.opened(opening)
        return True

    def announce(self) -> int | None:
        """Begin to speak without having been asked, as for a timer; the turn's number, None while another runs."""
        with self._lock:
            if self._state != ASLEEP:
                return None
            self._turn += 1
            self._state = SPEAKING
            return self._turn

    def speaking(self, turn: int) -> bool:
        """The answer's first sound is about to be played; False when the turn was interrupted meanwhile."""
        return self._move(turn, (THINKING, SPEAKING), SPEAKING)

    def done(self, turn: int) -> bool:
        """The turn is over; False when it already was."""
        return self._move(turn, (LISTENING, THINKING, SPEAKING), ASLEEP)

    def reset(self) -> None:
        """Drop whatever is going on, as muting must: nothing that was heard is kept."""
        with self._lock:
            before, turn = self._state, self._turn
            self._state = ASLEEP
            self._turn += 1
            self._endpointer = Endpointer(self.settings.endpoint)
        self._ring.clear()
        if before != ASLEEP:
            self._listener.interrupted(turn)

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
