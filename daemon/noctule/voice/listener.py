"""The hearing worker: one thread that reads the microphone, scores wake words and drives the session.

Its heartbeat is a fresh block of sound that the detector has scored, nothing less: a process whose microphone died is
frozen in the eyes of the watchdog, or, when the device says so itself, degraded and reopened until it is back.
Muted, it holds no device at all, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.audio.chunk import RATE, EndOfSound, SoundSource
from noctule.audio.health import DEAD, OK, SENTENCE, HealthMeter
from noctule.audio.ring import SoundRing
from noctule.core.clock import Clock
from noctule.core.errors import UnavailableError
from noctule.core.events import Bus
from noctule.service.supervisor import Job, Part
from noctule.voice.heard import Heard
from noctule.voice.session import Session

NAME = "ears"
#: seconds of waiting for sound after which the loop looks at its orders.
PATIENCE = 0.25
#: seconds of sound whose loss is only a click: no word is missed for it, and none can be made of what is left.
SHORT = 0.1
#: seconds of the past that a detector which takes over hears first: it then need not be deaf while it warms up.
PAST = 3.0
#: how long the worker may be without sound before it counts as frozen; devices fail by themselves before that.
MAX_AGE = 5.0


class WakeDetector(Protocol):
    """What the worker needs of wake.detector.Detector."""

    def push(self, samples: NDArray[np.int16]) -> Sequence[Heard]: ...
    def reset(self) -> None: ...
    def hole(self) -> None: ...
    def close(self) -> None: ...


class Listener:
    """build: loads the wake words, in the worker's thread; source: opened and closed by this worker only."""

    def __init__(
        self,
        source: SoundSource,
        build: Callable[[], WakeDetector],
        session: Session,
        ring: SoundRing,
        bus: Bus,
        clock: Clock,
        *,
        muted: bool = False,
    ) -> None:
        self._source, self._build = source, build
        self._session, self._ring = session, ring
        self._bus, self._clock = bus, clock
        self._health = HealthMeter()
        self._health_state = OK
        self._orders = threading.Event()
        self._lock = threading.Lock()
        self._muted = muted
        self._open = self._at_work = False
        self._next: tuple[WakeDetector, Future[bool]] | None = None
        self.finished = threading.Event()
        self.detector: WakeDetector | None = None
        self.gaps = 0
        self.job = Job(NAME, self.run, MAX_AGE, self._orders.set)

    # -- any thread ----------------------------------------------------------------------------------------------

    @property
    def muted(self) -> bool:
        with self._lock:
            return self._muted

    def mute(self, on: bool, why: str) -> bool:
        """Close or reopen the microphone; False when it already was so. The worker does it within `PATIENCE`."""
        with self._lock:
            if self._muted == on:
                return False
            self._muted = on
        self._orders.set()
        message = f"The microphone is {'muted' if on else 'on again'} ({why})"
        self._bus.publish("audio.muted" if on else "audio.unmuted", NAME, message, 5, why=why)
        return True

    def exchange(self, detector: WakeDetector, limit: float = 10.0) -> bool:
        """Listen with another detector from the next block of sound on, and wait until that is so; the old one is
        closed then. False when this worker is not at work: it builds its own when it starts. Raises UnavailableError
        when it does not get to it within `limit` seconds; nothing has changed then. One caller at a time."""
        outcome: Future[bool] = Future()
        with self._lock:
            if not self._at_work:
                return False
            self._next = (detector, outcome)
        self._orders.set()
        try:
            return outcome.result(limit)
        except FutureTimeout:
            with self._lock:
                taken, self._next = self._next is None, None
            if taken:  # at the last moment
                return outcome.result()
            raise UnavailableError("The ears did not change over in time.", "noctule status") from None

    def report(self) -> dict[str, Any]:
        """For `status`: what the microphone is doing, in the words of audio.health."""
        now = self._clock.monotonic()
        latest = self._health.latest
        state = self._health.state(now) if self._open else "closed"
        state = "muted" if self.muted else "at its end" if self.finished.is_set() else state
        out: dict[str, Any] = {"source": self._source.name, "state": state, "open": self._open, "gaps": self.gaps}
        if latest is not None and self._open:
            out.update(
                level_db=latest.level_db, peak_db=latest.peak_db, rate=round(latest.rate), clipped=latest.clipped
            )
            out["remedy"] = latest.remedy
        return {**out, "session": self._session.report()}

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        """The loop: sound in, words out, beat. Ends on stop; an error of the device ends it for the supervisor."""
        with self._lock:
            self._at_work = True
        try:
            self.detector = self._build()
            while not stop.is_set():
                if self.muted:
                    self._silence(part, stop)
                else:
                    self._listen(part, stop)
        finally:
            with self._lock:
                self._at_work, waiting, self._next = False, self._next, None
            if waiting is not None:
                waiting[1].set_result(False)
            self._close()
            old, self.detector = self.detector, None
            if old is not None:
                old.close()

    def _change_over(self) -> None:
        """Between two blocks of sound: listen with the next detector, if there is one. It hears the last seconds
        first; what it finds in them was the old one's business."""
        with self._lock:
            waiting, self._next = self._next, None
        if waiting is None:
            return
        following, outcome = waiting
        if self._open:
            following.push(self._ring.read(self._ring.end - int(PAST * RATE))[0])
        old, self.detector = self.detector, following
        if old is not None:
            old.close()
        outcome.set_result(True)

    def _silence(self, part: Part, stop: threading.Event) -> None:
        self._session.reset()
        self._close()
        self._orders.clear()
        self._change_over()
        if self.muted and not stop.is_set():
            self._orders.wait(PATIENCE)
        part.beat()  # muted is what was asked for: it is this part's work

    def _listen(self, part: Part, stop: threading.Event) -> None:
        assert self.detector is not None
        self._source.open()
        self._open = True
        self._health.restart()
        self.detector.reset()
        self._bus.publish("audio.opened", NAME, f"Listening to {self._source.name}", 5, source=self._source.name)
        expected = 0
        try:
            while not stop.is_set() and not self.muted:
                self._change_over()
                chunk = self._source.read(PATIENCE)
                if chunk is None:
                    if self._source.steady:
                        self._watch_health()
                    else:
                        part.beat()  # a pipe may be without a writer for as long as it likes
                    continue
                if chunk.index != expected:
                    self.gaps += 1
                    if chunk.index - expected > SHORT * RATE:
                        self.detector.hole()  # no word may be made of sound from both sides of it
                expected = chunk.index + len(chunk.samples)
                self._ring.write(chunk)
                self._health.feed(chunk)
                self._session.hear(chunk, self.detector.push(chunk.samples))
                self._watch_health()
                part.beat()
        except EndOfSound:
            self._session.end_of_turn(self._session.turn)  # a command may be the last thing in a file
            self.finished.set()
            while not stop.is_set() and not self.muted:  # a file that is over leaves nothing to hear
                self._change_over()
                part.beat()
                stop.wait(PATIENCE)
        finally:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._source.close()
            self._session.broken()
            self._bus.publish("audio.closed", NAME, f"{self._source.name} is closed", source=self._source.name)

    def _watch_health(self) -> None:
        """One line for each change of what the microphone hears."""
        state = self._health.state(self._clock.monotonic())
        if state == self._health_state:
            return
        before, self._health_state = self._health_state, state
        if state == OK:
            self._bus.publish("audio.healthy", NAME, f"The microphone hears again (was: {before})", 5)
        elif state == DEAD:
            self._bus.publish("audio.trouble", NAME, "The microphone delivers nothing", 4, state=state)
        else:
            remedy = self._health.latest.remedy if self._health.latest else ""
            self._bus.publish("audio.trouble", NAME, f"The microphone {SENTENCE[state]}: {remedy}", 4, state=state)
