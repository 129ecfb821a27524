"""One source as the rest of Noctule sees it: who looks at it, its newest frame, and why there is none.

    while not stop:  wait until somebody wants it -> start a capture process -> relay what it announces
                     -> it ends, stalls or is not wanted any more -> kill it -> wait (see Patience) -> again

A feed never gives out a picture that no source delivered, nor one older than asked for: it raises, and says why.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from noctule.capture.feed.audience import Audience, Listener
from noctule.capture.feed.report import FeedFacts, absence, news, report
from noctule.capture.feed.subscription import Announced, Viewer
from noctule.capture.picture.frame import Frame, Luma
from noctule.capture.process.door import HelperDoor, HelperProcess
from noctule.capture.process.launch import Launcher, await_return
from noctule.capture.process.life import Patience, ProcessLife, deadline
from noctule.capture.process.preroll import Preroll, TimedPacket
from noctule.capture.process.process import CaptureProcess
from noctule.capture.process.ring import RingReader
from noctule.capture.sources.base import StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.capture.states import CLOSED, LIVE, LOST, OPENING, PAUSED
from noctule.core.errors import NoctuleError

#: publish(kind, message, level, fields)
Publish = Callable[[str, str, int, dict[str, Any]], None]


class Feed:
    """See the module. `run` is the loop, for a thread of the owner's; everything else may be called from any."""

    def __init__(
        self,
        spec: SourceSpec,
        publish: Publish | None = None,
        patience: Patience | None = None,
        python: str | None = None,
        command: Sequence[str] = (),
        door: HelperDoor | None = None,
    ) -> None:
        self.spec = spec
        self.patience = self._starting = patience or Patience.of(spec)
        self._publish = publish or (lambda *_: None)
        self._launcher = Launcher(spec, python, command, door)
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._audience = Audience()
        self._latest: Announced | None = None
        self._preroll = Preroll(spec.preroll)
        self._process: CaptureProcess | HelperProcess | None = None
        self._present: ProcessLife | None = None
        self._pace = 0.0
        self._paused = self._missing = self._eased = False
        self._marks: list[float] = []
        self.state: str = CLOSED
        self.error: NoctuleError | None = None
        #: what `display` or `camera` stands for at the moment.
        self.actual = spec
        #: why it gave no pictures the last time, until it gives some again.
        self.last_error = ""
        self.about: dict[str, Any] = {}
        self.frames = self.restarts = 0

    def subscribe(self, depth: int = 2) -> Viewer:
        """Open the source and queue up to `depth` of its frames for the caller. Close it when done."""
        viewer = self._audience.view(depth)
        self._wake.set()
        return viewer

    def latest(self, max_age: float) -> Frame:
        """The newest frame, if it is no older than `max_age` seconds; else an error that says why there is none."""
        with self._lock:
            announced = self._latest
        frame = announced.take() if announced is not None and not self._paused else None
        age = time.monotonic() - frame.captured if frame is not None else float("inf")
        if frame is None or age > max_age:
            with self._lock:
                raise absence(self._facts(), age)
        return frame

    def fresh(self, max_age: float, timeout: float) -> Frame:
        """As `latest`, but opens the source and waits up to `timeout` seconds for such a frame."""
        called, tried = time.monotonic(), self.restarts
        with self.subscribe(1) as viewer:
            while True:
                try:
                    return self.latest(max_age)
                except NoctuleError:
                    left = self.until(called, timeout) - time.monotonic()
                    if left <= 0 or self._paused or self.hopeless(tried):
                        raise
                    viewer.get(min(left, 0.25))

    def until(self, called: float, timeout: float) -> float:
        """When a wait for this source that began at `called` is over. See life.deadline."""
        return deadline(self._present, called, timeout, self.patience)

    def hopeless(self, restarts: int) -> bool:
        """Nothing will come soon: what the source needs is missing, or it failed twice since it had been restarted
        `restarts` times. (Once is no reason: an X server that just resets itself, a camera being let go.)"""
        return self.state == LOST and (self._missing or self.restarts - restarts >= 2)

    # --- for clips

    def listen(self, listener: Listener, since: float) -> None:
        """Give `listener` the kept packets from the key frame at or before `since`, then each new one, in order."""
        with self._lock:
            if self._preroll.stream is not None and self.state == LIVE:
                for timed in self._preroll.since(since):
                    listener(self._preroll.stream, timed)
            self._audience.listen(listener)
            self._tell_process()
        self._wake.set()

    def unlisten(self, listener: Listener) -> None:
        with self._lock:
            self._audience.unlisten(listener)
            self._tell_process()

    def _tell_process(self) -> None:
        if self._process is not None:
            self._process.tell({"t": "packets", "on": self._audience.records or self._keeps()})
            self._process.tell({"t": "pace", "fps": self._pace})

    def _keeps(self) -> bool:
        return self.spec.preroll > 0 and not self._eased

    def pause(self) -> None:
        """Close the source at once and refuse to open it until `resume`."""
        with self._lock:
            self._paused, self._latest = True, None
        self._wake.set()

    def resume(self) -> None:
        self._paused = False
        self._wake.set()

    def slow(self, fps: float) -> None:
        """Show at most `fps` pictures a second from now on; 0 for all that come."""
        with self._lock:
            self._pace = fps
            self._tell_process()

    def ease(self, on: bool) -> None:
        """Keep no video for clips, which lets the source close when nobody looks; or keep it again."""
        with self._lock:
            self._eased = on
            self._preroll.clear()
            self._tell_process()
        self._wake.set()

    def status(self) -> dict[str, Any]:
        """For `noctule status` and the status page."""
        with self._lock:
            return {
                **report(self._facts(), self._latest, self._marks, self._process),
                "preroll_s": round(self._preroll.kept, 1),
                **self._audience.report(),
                **({"lowered_fps": self._pace} if self._pace else {}),
            }

    def _facts(self) -> FeedFacts:
        return FeedFacts(
            self.spec.name, self.actual.kind, self.actual.label, self.state, self.error, self.last_error,
            self.frames, self.restarts, bool(self.spec.masks), self.about, self._paused,
        )  # fmt: skip

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """The loop. Returns soon after `stop` is set (and `wake` called); leaves no process behind."""
        backoff = self.patience.backoff
        try:
            while not stop.is_set():
                beat()
                if not self._wanted():
                    self._become(PAUSED if self._paused else CLOSED, None)
                    self._nap(0.5)
                    continue
                error, lived = self._session(stop, beat)
                if error is None:
                    continue
                self.restarts += 1
                self._become(LOST, error)
                backoff = self.patience.backoff if lived else min(backoff * 2, self.patience.backoff_max)
                self._await_return(stop, beat, backoff * random.uniform(0.8, 1.2))
        finally:
            self._become(CLOSED, None)

    def wake(self) -> None:
        """Make `run` look at its stop event now."""
        self._wake.set()

    def _wanted(self) -> bool:
        with self._lock:
            if self._paused:
                return False
            if self._audience.present or self._keeps():
                return True
            return time.monotonic() - self._audience.left < self.patience.linger and self.state in (OPENING, LIVE)

    def _await_return(self, stop: threading.Event, beat: Callable[[], None], pause: float) -> None:
        def still_missing(error: NoctuleError | None) -> None:
            self._missing = error is not None
            if error is not None:
                self._become(LOST, error)

        await_return(
            self._going_on(stop, beat), self._launcher.absence, still_missing, self._nap, pause, self.patience.look
        )

    def _going_on(self, stop: threading.Event, beat: Callable[[], None]) -> Callable[[], bool]:
        def go_on() -> bool:
            beat()
            return not stop.is_set() and self._wanted()

        return go_on

    def _nap(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _become(self, state: str, error: NoctuleError | None) -> None:
        """Enter a state; say so once, not again for the same reason."""
        with self._lock:
            before, old = self.state, self.error
            self.state, self.error = state, error
            if error is not None or state == LIVE:
                self.last_error = error.message if error is not None else ""
            if state != LIVE:
                self.about = {}
            if state in (CLOSED, PAUSED):
                self._latest = None
        if (said := news(self.spec.name, before, state, old, error, self.about)) is not None:
            self._publish(*said)

    def _session(self, stop: threading.Event, beat: Callable[[], None]) -> tuple[NoctuleError | None, bool]:
        """One life of a capture process: (why it ended or None when it was not wanted any more, frames came)."""
        try:
            actual, process = self._launcher.launch()
        except NoctuleError as missing:
            self._missing = True
            return missing, False
        self._missing = False
        session = ProcessLife(process, self, self._starting)
        with self._lock:
            self.actual = actual
            if self.state != LOST:  # a lost source stays lost, with its reason, until it delivers
                self.state = OPENING
            self._process, self._present = process, session
            self._tell_process()
        error: NoctuleError | None = None
        try:
            error = session.run(self._going_on(stop, beat))
            self._starting = self._starting.longer() if session.slow else self.patience
            return error, session.live
        finally:
            with self._lock:
                self._process, self._present, self._latest = None, None, None if self._paused else self._latest
                self._preroll.clear()
            # the service has a second and a half to stop: half of it is not for asking
            process.end(patience=0.5 if error is None and not stop.is_set() else 0.0)

    # --- what the session says (see session.Owner)

    def opened(self, about: dict[str, Any]) -> None:
        self.about = about

    def troubled(self, error: NoctuleError) -> None:
        self._missing = True
        self._become(LOST, error)

    def arrived(self, ring: RingReader, number: int, now: float, look: Luma | None) -> None:
        with self._lock:
            announced = Announced(ring, number, self.spec.name, self.frames, now, look)
            self._latest = announced
            self.frames += 1
            self._marks = [*(t for t in self._marks[-240:] if t > now - 3.0), now]
        if self.state != LIVE:
            self._missing = False
            self._become(LIVE, None)
        self._audience.show(announced)

    def described(self, stream: StreamInfo) -> None:
        with self._lock:
            self._preroll.describe(stream)

    def packet(self, timed: TimedPacket) -> None:
        with self._lock:
            stream = self._preroll.stream
            if stream is not None:
                self._preroll.add(timed)
                self._audience.tell(stream, timed)
