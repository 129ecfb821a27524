"""Timers that fire.

A timer runs on the monotonic clock, so that NTP, a user or daylight saving cannot move it. The set of timers is
kept in one small file, replaced atomically at every change. After a restart of the service within the same boot the
monotonic clock goes on, and so does the timer, exactly. After a reboot only the wall clock knows how long the board
was off: the timer is then due at its wall time, followed through later corrections of the clock (a board without a
battery clock starts in the past), and never later than its full duration after the start. A timer whose time passed
while the service was away fires at once and says how late it is.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noctule.assistant.boot_id import read_boot_id
from noctule.assistant.phrases.numbers import say_duration
from noctule.config import Config
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, InputError
from noctule.core.events import Bus
from noctule.core.state_file import StateFile
from noctule.service.supervisor import Job

FORMAT = 1
#: Longest nap of the thread, in seconds: bounds how late a jump of the wall clock is noticed, and beats.
NAP = 1.0


@dataclass(frozen=True)
class Timer:
    """number: counts up, unique in the file; duration: seconds; due: monotonic seconds; due_wall: epoch seconds.

    wall_only: restored after a reboot, so that the wall clock decides and `due` is only the latest moment.
    """

    number: int
    name: str
    duration: float
    due: float
    due_wall: float
    wall_only: bool = False

    def remaining(self, clock: Clock) -> float:
        """Seconds left; negative when overdue."""
        left = self.due - clock.monotonic()
        return min(left, self.due_wall - clock.wall()) if self.wall_only else left

    @property
    def over(self) -> str:
        """What is said when it fires."""
        return (
            f"The {self.name} timer is over."
            if self.name
            else f"The timer for {say_duration(self.duration)} is over."
        )

    @property
    def title(self) -> str:
        """How people call it: "the pasta timer", "the 5 minutes timer"."""
        return f"the {self.name} timer" if self.name else f"the timer for {say_duration(self.duration)}"


class Timers:
    """The set of timers, its file, and the loop that fires them. Thread-safe.

    limit: how many may run at once; on_fire: called in the timers' thread with each timer that fires, after the
    event "timer.fired" was published; stall: seconds without a beat after which the loop counts as frozen.
    """

    name = "timers"

    def __init__(
        self,
        path: Path,
        bus: Bus,
        clock: Clock,
        limit: Callable[[], int] = lambda: 32,
        on_fire: Callable[[Timer], None] = lambda timer: None,
        boot_id: str | None = None,
        stall: float = 15.0,
    ) -> None:
        self._stall = stall
        self._file = StateFile(path, bus, "timers")
        self._bus = bus
        self._clock = clock
        self._limit = limit
        self._on_fire = on_fire
        self._boot = boot_id if boot_id is not None else read_boot_id()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._timers: dict[int, Timer] = {}
        self._next = 1
        known = self._file.read(self._read)
        if known is not None:
            self._timers, self._next = known

    # -- for actions and status ---------------------------------------------------------------------------------

    def set(self, duration: float, name: str = "") -> Timer:
        """Start a timer. InputError for a silly duration, BusyError when too many run."""
        if not (math.isfinite(duration) and 0 < duration <= 7 * 86400):
            raise InputError("A timer runs for more than nothing and at most a week.")
        with self._lock:
            if len(self._timers) >= self._limit():
                raise BusyError(
                    f"There are {len(self._timers)} timers already.", "cancel one, or see actions.max_timers"
                )
            timer = Timer(
                self._next, name, duration, self._clock.monotonic() + duration, self._clock.wall() + duration
            )
            self._next += 1
            self._timers[timer.number] = timer
            try:
                self._save()
            except OSError:
                # A timer that would be forgotten at the next restart was not set: say so rather than half do it.
                del self._timers[timer.number]
                raise
        self._changed.set()
        self._bus.publish(
            "timer.set",
            "timers",
            f"Timer {timer.number} was set for {say_duration(duration)}",
            words=name,
            number=timer.number,
            duration_s=duration,
        )
        return timer

    def running(self) -> list[Timer]:
        """The running timers, the next one to fire first."""
        with self._lock:
            return sorted(self._timers.values(), key=lambda timer: timer.remaining(self._clock))

    def extend(self, number: int, seconds: float) -> Timer:
        """Add time to a timer, or take some where negative. InputError where it is gone or nothing would be left."""
        with self._lock:
            timer = self._timers.get(number)
            if timer is None:
                raise InputError("That timer is over.")
            left = timer.remaining(self._clock) + seconds
            if left < 1:
                raise InputError("That is more than it has left.", "cancel it instead")
            changed = replace(
                timer, due=timer.due + seconds, due_wall=timer.due_wall + seconds, duration=max(timer.duration, left)
            )
            self._timers[number] = changed
            try:
                self._save()
            except OSError:
                self._timers[number] = timer
                raise
        self._changed.set()
        return changed

    def cancel(self, numbers: list[int]) -> list[Timer]:
        """Remove these timers; returns the ones that were still there."""
        with self._lock:
            gone = [self._timers.pop(number) for number in numbers if number in self._timers]
            if gone:
                try:
                    self._save()
                except OSError:
                    self._timers.update({timer.number: timer for timer in gone})
                    raise
        for timer in gone:
            self._bus.publish(
                "timer.cancelled",
                "timers",
                f"Timer {timer.number} was cancelled",
                words=timer.name,
                number=timer.number,
            )
        self._changed.set()
        return gone

    def status(self) -> list[dict[str, Any]]:
        """The running timers, JSON-able."""
        return [
            {
                "number": timer.number,
                "name": timer.name,
                "duration_s": timer.duration,
                "remaining_s": round(max(0.0, timer.remaining(self._clock)), 3),
            }
            for timer in self.running()
        ]

    # -- component -----------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        return [Job(self.name, lambda part, stop: self.run(part.beat, stop), self._stall, self.wake)]

    def apply(self, config: Config) -> None:
        """The limit is asked for with each timer."""

    def close(self) -> None:
        """Every change is on disk already."""

    # -- the loop -----------------------------------------------------------------------------------------------

    def run(self, beat: Callable[[], None], stop: threading.Event) -> None:
        """Fire timers until `stop` is set; `wake` ends the nap early."""
        while not stop.is_set():
            self._changed.clear()
            self.fire_due()
            beat()
            self._clock.wait(self._changed, self._nap())

    def wake(self) -> None:
        """End the loop's nap: for the owner, after setting `stop`."""
        self._changed.set()

    def _nap(self) -> float:
        timers = self.running()
        return min(NAP, max(0.0, timers[0].remaining(self._clock))) if timers else NAP

    def fire_due(self) -> list[Timer]:
        """Fire every timer whose time has come, in order; returns them."""
        fired = []
        for timer in self.running():
            late = -timer.remaining(self._clock)
            if late < 0:
                break
            with self._lock:
                if self._timers.pop(timer.number, None) is None:
                    continue
                # A full disk must not keep a timer from ringing: it may then ring again after a restart.
                with contextlib.suppress(OSError):
                    self._save()
            fired.append(timer)
            text = f"Timer {timer.number} for {say_duration(timer.duration)} is over"
            if late >= 1:
                text += f", {say_duration(late)} late because the service was not running"
            self._bus.publish(
                "timer.fired",
                "timers",
                text,
                level=5,
                words=timer.name,
                number=timer.number,
                duration_s=timer.duration,
                late_s=round(late, 3),
                reply=timer.over,
            )
            self._on_fire(timer)
        return fired

    # -- the file -----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        data = {
            "format": FORMAT,
            "boot_id": self._boot,
            "saved_wall": self._clock.wall(),
            "next": self._next,
            "timers": [
                {
                    "number": t.number,
                    "name": t.name,
                    "duration": t.duration,
                    "due": t.due,
                    "due_wall": t.due_wall,
                    "wall_only": t.wall_only,
                }
                for t in self._timers.values()
            ],
        }
        self._file.write(data)

    def _read(self, data: dict[str, Any]) -> tuple[dict[int, Timer], int]:
        if data["format"] != FORMAT:
            raise ValueError("unknown format")
        same_boot = bool(self._boot) and data["boot_id"] == self._boot
        # Time away, by the wall clock; a clock that went back (no battery clock, not yet corrected) knows nothing.
        away = max(0.0, self._clock.wall() - float(data["saved_wall"]))
        timers: dict[int, Timer] = {}
        for item in data["timers"]:
            number, name = int(item["number"]), str(item["name"])
            duration, due, due_wall = (_finite(item[key]) for key in ("duration", "due", "due_wall"))
            wall_only = bool(item["wall_only"])
            if not same_boot:
                left = due_wall - float(data["saved_wall"]) - away
                due, wall_only = self._clock.monotonic() + min(duration, left), True
            timers[number] = Timer(number, name, duration, due, due_wall, wall_only)
        return timers, max([int(data["next"]), *(number + 1 for number in timers)])


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
