"""What the supervisor keeps book of: a part, and a part with a thread. The rules are in supervisor.py."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.clock import Clock

STARTING = "starting"
WORKING = "working"
RESTARTING = "restarting"
DEGRADED = "degraded"
STOPPED = "stopped"
#: lines of a stack that `where` tells.
WHERE = 6


class Part:
    """When one part last worked, and by when it must work again. Thread-safe."""

    def __init__(self, name: str, max_age: float, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.max_age = max_age
        self.clock = clock
        self.lock = threading.Lock()
        self.state = STARTING
        #: one sentence: why the part is not working; kept until it works again.
        self.reason = ""
        self.hint = ""
        self.restarts = 0
        self.beats = 0
        self.last_beat: float | None = None
        self._due = clock.monotonic() + max_age
        self._frozen: threading.Event | None = None
        self._changed = changed

    def beat(self) -> None:
        """Say: I did my work. (Not: I am alive.)"""
        if self._frozen is not None:
            self._frozen.wait()  # see Supervisor.freeze
        now = self.clock.monotonic()
        with self.lock:
            self.last_beat = now
            self.beats += 1
            self._due = now + self.max_age
            first = self.state == STARTING
            if first:
                self.state = WORKING
        if first:
            self._changed()

    def expect(self, seconds: float) -> None:
        """Announce one long step: the next beat may take up to `seconds` instead of `max_age`."""
        with self.lock:
            self._due = self.clock.monotonic() + max(seconds, self.max_age)

    def overdue(self, now: float) -> bool:
        """True when the part should be working and has not worked within its time."""
        with self.lock:
            return self.state in (STARTING, WORKING) and now > self._due

    def freeze(self) -> None:
        """Block the part's thread at its next beat, for ever. Only for tests of the watchdog."""
        self._frozen = threading.Event()

    def report(self, now: float) -> dict[str, Any]:
        """For `status`: state, reason, seconds since the last work, counts."""
        overdue = self.overdue(now)
        with self.lock:
            return {
                "name": self.name,
                "state": "frozen" if overdue and self.state == WORKING else self.state,
                "reason": self.reason,
                "hint": self.hint,
                "last_work_s": None if self.last_beat is None else round(now - self.last_beat, 3),
                "max_age_s": self.max_age,
                "beats": self.beats,
                "restarts": self.restarts,
            }


@dataclass(frozen=True)
class Job:
    """What a worker thread runs.

    run: the loop; gets the part (to beat) and an event that says stop; returning before it is set is a failure.
    wake: called when the worker must stop, to pull it out of whatever it waits for.
    again: asked at each tick while the worker is out of service; True when something changed that makes trying again
    at once worthwhile (a device was plugged in), so that it need not wait for the next planned attempt.
    """

    name: str
    run: Callable[[Part, threading.Event], None]
    max_age: float
    wake: Callable[[], None] = lambda: None
    again: Callable[[], bool] = lambda: False


class Worker(Part):
    """A part with a thread."""

    def __init__(self, job: Job, clock: Clock, changed: Callable[[], None]) -> None:
        super().__init__(job.name, job.max_age, clock, changed)
        self.job = job
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.deaths: deque[float] = deque()
        self.retry_at: float | None = None
        self.failed_retries = 0

    def launch(self) -> None:
        """Start the thread."""
        self.expect(self.max_age)
        with self.lock:
            self.state = STARTING
            self.retry_at = None
            self.error = None
        self.thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self.thread.start()

    def _main(self) -> None:
        try:
            self.job.run(self, self.stop)
        except BaseException as error:  # noqa: BLE001 - whatever ends the thread is the supervisor's business
            self.error = error
        self._changed()

    def where(self) -> str:
        """The lines of code that its thread is at, innermost first: for whoever asks why it hangs."""
        frame = sys._current_frames().get(self.thread.ident or 0) if self.thread is not None else None
        if frame is None:
            return ""
        stack = traceback.extract_stack(frame)[-WHERE:]
        return " < ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in reversed(stack))

    @property
    def alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()
