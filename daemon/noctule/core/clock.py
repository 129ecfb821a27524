"""Time. Durations and deadlines use the monotonic clock; the wall clock is only for what people read."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What a part needs of time; injected so that tests own it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump."""

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait up to `timeout` seconds for `event`; True when it is set."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def wait(self, event: threading.Event, timeout: float) -> bool:
        return event.wait(max(0.0, timeout))


class ManualClock:
    """A clock that moves only when told to; `wait` returns when the event is set or time is advanced past it."""

    def __init__(self, start: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = start
        self._wall_offset = wall - start
        self._moved = threading.Condition()

    def monotonic(self) -> float:
        with self._moved:
            return self._now

    def wall(self) -> float:
        with self._moved:
            return self._now + self._wall_offset

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._now += seconds
            self._moved.notify_all()

    def jump_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or a user would."""
        with self._moved:
            self._wall_offset += seconds

    def wait(self, event: threading.Event, timeout: float) -> bool:
        with self._moved:
            deadline = self._now + timeout
            while not event.is_set() and self._now < deadline:
                # Real time bounds the nap only so that an event set without a move is noticed.
                self._moved.wait(0.005)
        return event.is_set()
