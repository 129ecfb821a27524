"""The assistant's turns, one after another, and what it says unasked. One thread.

Commands come from its session, in the hearing thread: `opened` when one begins, `finished` when it has ended,
`interrupted` when a wake or stop word, or silence, ends a turn before its time. A command that comes while another
waits takes its place (a wake word has interrupted it already); the one that lost its place is counted. Without a
recogniser a command is published with its length, its sound is kept in memory for the API, and the journal says so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from noctule.audio.ring import SoundRing
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, NoctuleError, UnavailableError, handed_over
from noctule.core.events import Bus
from noctule.service.supervisor import Job, Part
from noctule.voice.session import Session, SessionSettings
from noctule.voice.speech_worker import SpeechWorker
from noctule.voice.stt.base import Recogniser
from noctule.voice.turn import Turn
from noctule.voice.turn_context import NAME, NAP, Answering, TurnContext
from noctule.voice.utterance import Opening, Utterance

#: seconds without work after which the thread counts as frozen; for loading a model; of a look at the queue.
MAX_AGE, LOAD_LIMIT, PATIENCE = 15.0, 300.0, 1.0
#: announcements that may wait.
ANNOUNCEMENTS = 8


@dataclass
class Announcement:
    """Something to say without having been asked. text: "" for the chime alone."""

    text: str
    result: Future[bool] = field(default_factory=Future)


class TurnWorker:
    """load: makes the recogniser in the worker's thread, None where there is none, and says so itself; threshold: the
    confidence below which is asked again, None for the recogniser's own; voice: None where nothing can be heard."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        ring: SoundRing,
        answer: Answering,
        load: Callable[[], Recogniser | None],
        voice: SpeechWorker | None = None,
        threshold: Callable[[], float | None] = lambda: None,
        settings: SessionSettings | None = None,
    ) -> None:
        self._bus, self._clock, self._ring = bus, clock, ring
        self._answer, self._load, self._threshold = answer, load, threshold
        self.voice = voice
        self._recogniser: Recogniser | None = None
        self._news = threading.Condition()
        self._waiting: Opening | None = None
        self._noticed = 0.0
        self._ended: Utterance | None = None
        self._interrupted = -1
        self._retry = False
        self._announcements: deque[Announcement] = deque()
        #: what cuts the commands out of the sound, and tells this worker.
        self.session = Session(bus, ring, self, settings)
        #: commands that were replaced by a later one before their turn came; announcements that were too many.
        self.replaced = self.dropped = 0
        #: the last command, and where the time of the last turn went; in memory only.
        self.last: Utterance | None = None
        self.last_turn: dict[str, Any] = {}
        self.job = Job(NAME, self.run, MAX_AGE, self._wake)

    # -- any thread ----------------------------------------------------------------------------------------------

    def opened(self, opening: Opening) -> None:
        """A command begins; never blocks."""
        with self._news:
            self.replaced += self._waiting is not None
            self._waiting, self._ended = opening, None
            self._noticed = self._clock.monotonic()
            self._news.notify_all()

    def heard(self) -> None:
        """The ring has more."""
        with self._news:
            self._news.notify_all()

    def finished(self, utterance: Utterance) -> None:
        """The command has ended; never blocks."""
        with self._news:
            self._ended = utterance
            self._news.notify_all()

    def interrupted(self, turn: int) -> None:
        """A turn is over before its time: stop speaking, drop what is still being computed."""
        with self._news:
            self._interrupted = max(self._interrupted, turn)
            self._news.notify_all()
        if self.voice is not None:
            self.voice.stop()

    def announce(self, text: str) -> Future[bool]:
        """Say a text, or with "" the chime, as soon as nobody is being listened to; True: to its end.

        Raises BusyError when too much waits, UnavailableError where nothing can be heard or spoken.
        """
        if self.voice is None:
            raise UnavailableError("There is no loudspeaker here.", "audio.output")
        if text and not self.voice.speaks:
            raise UnavailableError("There is no voice here.", "speech.tts; noctule status says why")
        with self._news:
            if len(self._announcements) >= ANNOUNCEMENTS:
                self.dropped += 1
                raise BusyError(f"{ANNOUNCEMENTS} announcements wait already.")
            announcement = Announcement(text)
            self._announcements.append(announcement)
            self._news.notify_all()
        return announcement.result

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be served."""
        with self._news:
            return self._waiting is None and not self._announcements

    def retry(self) -> None:
        """Look again for a recogniser that was missing: the configuration or the packages may have changed."""
        with self._news:
            self._retry = True
            self._news.notify_all()

    def report(self) -> dict[str, Any]:
        """For `status`."""
        recogniser = self._recogniser
        return {
            "recogniser": recogniser.name if recogniser is not None else None,
            "replaced": self.replaced,
            "announcements_dropped": self.dropped,
            "last_turn": self.last_turn,
        }

    def _wake(self) -> None:
        self.interrupted(self.session.turn)

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        """Load, then: wait for a command, serve it, beat."""
        part.expect(LOAD_LIMIT)
        self._recogniser = self._load()
        try:
            while not stop.is_set():
                part.beat()
                if self._retry:
                    self._retry = False
                    part.expect(LOAD_LIMIT)
                    self._recogniser = self._recogniser or self._load()
                opening, announcement = self._next(stop)
                if opening is not None:
                    self._turn(part, opening)
                elif announcement is not None:
                    self._speak_up(part, announcement)
        finally:
            recogniser, self._recogniser = self._recogniser, None
            if recogniser is not None:
                recogniser.close()
            for waiting in self._announcements:
                waiting.result.set_exception(UnavailableError("The turns are out of service.", "noctule status"))
            self._announcements.clear()

    def _next(self, stop: threading.Event) -> tuple[Opening | None, Announcement | None]:
        with self._news:
            if self._waiting is None and not self._announcements and not self._retry and not stop.is_set():
                self._news.wait(PATIENCE)
            opening, self._waiting = self._waiting, None
            announcement = self._announcements.popleft() if opening is None and self._announcements else None
        return (None, None) if stop.is_set() else (opening, announcement)

    # -- one turn ------------------------------------------------------------------------------------------------

    def _turn(self, part: Part, opening: Opening) -> None:
        recogniser, own = self._recogniser, self._threshold()
        least = own if own is not None else recogniser.confidence if recogniser is not None else 0.0
        desk = TurnContext(
            self._bus, self._clock, self._ring, self.session, self._answer, recogniser, self.voice, least, part, self
        )
        turn = Turn(desk, opening, self._noticed)
        try:
            turn.run()
        finally:
            self.last = turn.utterance or self.last
            self.last_turn = turn.outcome or self.last_turn

    def ended(self, turn: int) -> Utterance | None:
        """The finished command of a turn, None while it is being spoken."""
        with self._news:
            return self._ended if self._ended is not None and self._ended.turn == turn else None

    def over(self, turn: int) -> bool:
        """Whether a turn was interrupted."""
        with self._news:
            return turn <= self._interrupted

    def wait(self, seconds: float) -> None:
        """For sound, or news, up to so many seconds."""
        with self._news:
            self._news.wait(seconds)

    # -- announcements -------------------------------------------------------------------------------------------

    def _speak_up(self, part: Part, announcement: Announcement) -> None:
        """Say it as a turn of its own, or put it back while somebody is being listened to."""
        turn = self.session.announce()
        if turn is None:
            with self._news:
                self._announcements.appendleft(announcement)
                self._news.wait(NAP)
            return
        voice, played = self.voice, False
        assert voice is not None
        try:
            saying = voice.begin() if announcement.text else voice.ring()
            saying.put(announcement.text)
            saying.close()
            while (state := saying.wait(NAP)) is None:
                part.beat()
            played = state
            announcement.result.set_result(played)
        except NoctuleError as error:
            self._bus.publish("voice.failed", NAME, f"An announcement was not spoken: {error}", 4, code=error.code)
            announcement.result.set_exception(handed_over(error))
        finally:
            self.session.done(turn)
        how = "to its end" if played else "not to its end"
        self._bus.publish("speech.announced", NAME, f"An announcement was spoken, {how}", 6, reply=announcement.text)
