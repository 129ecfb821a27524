"""What happens to a finished command: recognise it, have it answered, speak the answer. L3; one thread, one turn.

A command that comes while another waits takes its place (a wake word has interrupted it already); the one that lost
its place is counted. Without a recogniser the command is published with its length, its sound is kept in memory for
the API, and the journal says so: nothing is pretended to have been understood.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from noctule.audio.chunk import Pcm
from noctule.clock import Clock
from noctule.errors import CancelledError, NoctuleError
from noctule.events import Bus
from noctule.session import Session, Utterance
from noctule.supervisor import Job, Part

NAME = "turns"
MAX_AGE = 60.0
PATIENCE = 1.0


class Recogniser(Protocol):
    """Speech to text."""

    def transcribe(self, samples: Pcm) -> str:
        """The words in int16 mono 16 kHz samples. Raises NoctuleError."""


class Voice(Protocol):
    """Text to sound in the room."""

    def say(self, text: str, started: Callable[[], bool]) -> bool:
        """Speak; `started()` is called before the first sound and may forbid it; False when it was interrupted."""

    def stop(self) -> None:
        """Fall silent now, from any thread."""


class Answering(Protocol):
    """The language worker, seen from here."""

    def __call__(self, text: str, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
        """Answer a request; the mapping has "reply". Raises NoctuleError."""


class Turns:
    """recogniser and voice may be None: then a turn ends where they would be needed, and says so."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        answer: Answering,
        recogniser: Recogniser | None = None,
        voice: Voice | None = None,
    ) -> None:
        self._bus, self._clock = bus, clock
        self._answer, self._recogniser, self._voice = answer, recogniser, voice
        self._queue: queue.Queue[Utterance | None] = queue.Queue(maxsize=1)
        self._interrupted = -1
        self.session: Session | None = None
        #: commands that were replaced by a later one before their turn came.
        self.replaced = 0
        #: the last command, in memory only.
        self.last: Utterance | None = None
        self.job = Job(NAME, self.run, MAX_AGE, lambda: self._offer(None))

    # -- any thread ----------------------------------------------------------------------------------------------

    def submit(self, utterance: Utterance) -> None:
        """Take a finished command; never blocks."""
        self._offer(utterance)

    def interrupt(self, turn: int) -> None:
        """A turn is over before its time: stop speaking, drop what is still being computed."""
        self._interrupted = max(self._interrupted, turn)
        if self._voice is not None:
            self._voice.stop()

    def _offer(self, item: Utterance | None) -> None:
        while True:
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                try:
                    if self._queue.get_nowait() is not None:
                        self.replaced += 1
                except queue.Empty:
                    continue
            else:
                return

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        while not stop.is_set():
            part.beat()
            try:
                utterance = self._queue.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            if utterance is not None and not stop.is_set():
                part.expect(MAX_AGE)
                self._turn(utterance)

    def _turn(self, utterance: Utterance) -> None:
        assert self.session is not None
        self.last = utterance
        try:
            self._steps(utterance)
        except CancelledError as error:
            self._bus.publish("session.cancelled", NAME, f"The turn was given up: {error}", turn=utterance.turn)
        except NoctuleError as error:
            self._bus.publish(
                "session.failed",
                NAME,
                f"The turn failed: {error}",
                4,
                turn=utterance.turn,
                code=error.code,
                hint=error.hint,
            )
        finally:
            self.session.done(utterance.turn)

    def _steps(self, utterance: Utterance) -> None:
        ledger: dict[str, Any] = {"turn": utterance.turn, "seconds": round(utterance.seconds, 2)}
        if self._recogniser is None:
            message = "A command was heard, but no recogniser is configured (speech.stt), so nobody understood it"
            self._bus.publish("session.unrecognised", NAME, message, 4, **ledger)
            return
        text = self._recogniser.transcribe(utterance.samples)
        self._check(utterance)
        ledger["recognised_ms"] = self._since(utterance)
        if not text:
            self._bus.publish("session.unrecognised", NAME, "The recogniser found no words", **ledger)
            return
        self._bus.publish("session.words", NAME, f"{len(text.split())} words were recognised", words=text, **ledger)
        result = self._answer(text, lambda: utterance.turn <= self._interrupted)
        self._check(utterance)
        ledger["answered_ms"] = self._since(utterance)
        reply = str(result["reply"])
        spoken = False
        if self._voice is not None and reply:
            spoken = self._voice.say(reply, lambda: self._first_sound(utterance, ledger))
        self._bus.publish("session.turn", NAME, "A turn is complete", reply=reply, spoken=spoken, **ledger)

    def _first_sound(self, utterance: Utterance, ledger: dict[str, Any]) -> bool:
        assert self.session is not None
        ledger["first_sound_ms"] = self._since(utterance)
        return self.session.speaking(utterance.turn)

    def _since(self, utterance: Utterance) -> int:
        """Milliseconds since the end of speech was decided."""
        return round((self._clock.monotonic() - utterance.ended) * 1000)

    def _check(self, utterance: Utterance) -> None:
        if utterance.turn <= self._interrupted:
            raise CancelledError("a later wake word or stop word interrupted it")
