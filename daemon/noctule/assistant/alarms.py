"""Alarms and reminders: they ring at a reading of the wall clock.

Kept are the hour, the minute and the day, not a moment: after a change of the clock or of the zone an alarm for seven
rings at seven. Every change is on disk before it is told. One whose time passed while the board was off is told as
missed. While the clock was never set (a board without a battery) nothing is set and nothing rings.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

from noctule.assistant.phrases.moments import epoch, local, say_moment
from noctule.config import Config
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, InputError, UnavailableError
from noctule.core.events import Bus
from noctule.core.state_file import StateFile
from noctule.service.supervisor import Job

FORMAT = 1
#: A wall clock before 2023 was never set.
SET_SINCE = 1_672_531_200.0
#: Seconds after its time from which an alarm is told as missed.
MISSED = 120.0
#: Seconds between two looks at the clock: bounds how late a jump of it is noticed.
NAP = 1.0
#: Most that are kept.
MOST = 200
#: Characters of a reminder's text.
LONGEST_TEXT = 300


@dataclass(frozen=True)
class Alarm:
    """hour, minute: local; day: the one day of an alarm that rings once; days: weekdays that repeat, Monday 0.

    text: what a reminder reminds of; since: epoch seconds after which it rings next.
    """

    number: int
    hour: int
    minute: int
    since: float
    day: date | None = None
    days: tuple[int, ...] = ()
    name: str = ""
    text: str = ""

    def due(self, zone: tzinfo | None = None) -> float:
        """Epoch seconds of its next ringing."""
        if self.day is not None:
            return epoch(datetime.combine(self.day, time(self.hour, self.minute)), zone)
        start = local(self.since, zone).date() - timedelta(days=1)
        for more in range(11):
            day = start + timedelta(days=more)
            moment = epoch(datetime.combine(day, time(self.hour, self.minute)), zone)
            if day.weekday() in self.days and moment > self.since:
                return moment
        raise ValueError("an alarm without a day")

    @property
    def title(self) -> str:
        """ "the reminder", "the swimming alarm"."""
        kind = "reminder" if self.text else "alarm"
        return f"the {self.name} {kind}" if self.name else f"the {kind}"


class Alarms:
    """The set of alarms and reminders, its file, and the loop that rings them. Thread-safe.

    zone: the board's where None. stall: seconds without a beat after which the loop counts as frozen.
    """

    name = "alarms"

    def __init__(self, path: Path, bus: Bus, clock: Clock, zone: tzinfo | None = None, stall: float = 15.0) -> None:
        self._file = StateFile(path, bus, "alarms")
        self._bus, self._clock, self._stall = bus, clock, stall
        self.zone = zone
        self._lock = threading.Lock()
        self._changed = threading.Event()
        known = self._file.read(_read)
        self._alarms: dict[int, Alarm] = known or {}

    def now(self) -> float:
        """Epoch seconds. UnavailableError while the clock was never set."""
        now = self._clock.wall()
        if now < SET_SINCE:
            raise UnavailableError(
                "I do not know what time it is yet, so I cannot set an alarm.",
                "set the clock, or wait for the network",
            )
        return now

    def set(self, moment: datetime, days: Sequence[int] = (), name: str = "", text: str = "") -> Alarm:
        """Set one for a naive local moment. InputError, BusyError, UnavailableError with the sentence to say."""
        now = self.now()
        if len(text) > LONGEST_TEXT or len(name) > LONGEST_TEXT:
            raise InputError(f"That is too long to be reminded of: at most {LONGEST_TEXT} characters.")
        if epoch(moment, self.zone) <= now:
            raise InputError("That time is past.")
        with self._lock:
            if len(self._alarms) >= MOST:
                raise BusyError(f"There are {MOST} alarms already.", "cancel one")
            number = max(self._alarms, default=0) + 1
            day = None if days else moment.date()
            alarm = Alarm(number, moment.hour, moment.minute, now, day, tuple(days), name, text)
            self._keep({**self._alarms, number: alarm})
        self._changed.set()
        self._bus.publish("alarm.set", self.name, f"Alarm {number} was set", words=text or name, number=number)
        return alarm

    def pending(self) -> list[Alarm]:
        """The next one to ring first."""
        with self._lock:
            return sorted(self._alarms.values(), key=lambda alarm: alarm.due(self.zone))

    def say(self, alarm: Alarm) -> str:
        """When it rings, in words."""
        moment = local(alarm.due(self.zone), self.zone)
        return say_moment(moment, local(self._clock.wall(), self.zone), alarm.days)

    def cancel(self, numbers: Sequence[int]) -> list[Alarm]:
        """Remove these; returns those that were still there."""
        with self._lock:
            gone = [self._alarms[number] for number in numbers if number in self._alarms]
            if gone:
                self._keep({n: alarm for n, alarm in self._alarms.items() if n not in numbers})
        for alarm in gone:
            self._bus.publish(
                "alarm.cancelled", self.name, f"Alarm {alarm.number} was cancelled", number=alarm.number
            )
        return gone

    def ring_due(self) -> list[Alarm]:
        """Ring what is due, in order; returns it."""
        now = self._clock.wall()
        if now < SET_SINCE:
            return []
        rung = []
        for alarm in self.pending():
            due = alarm.due(self.zone)
            if due > now:
                break
            with self._lock:
                if alarm.number not in self._alarms:
                    continue
                rest = {n: other for n, other in self._alarms.items() if n != alarm.number}
                if alarm.days:
                    rest[alarm.number] = replace(alarm, since=now)
                # A full disk must not keep an alarm from ringing: it may then ring again after a restart.
                with contextlib.suppress(OSError):
                    self._keep(rest)
                self._alarms = rest
            rung.append(alarm)
            self._tell(alarm, due, now - due)
        return rung

    def _tell(self, alarm: Alarm, due: float, late: float) -> None:
        here = local(self._clock.wall(), self.zone)
        what = f"Remember: {alarm.text}." if alarm.text else f"{alarm.title[0].upper()}{alarm.title[1:]} is ringing."
        text = f"Alarm {alarm.number} rings"
        if late >= MISSED:
            when = say_moment(local(due, self.zone), here)
            missed = f"{alarm.title} for {when} was missed while I was off"
            what = f"{missed[0].upper()}{missed[1:]}{': ' + alarm.text if alarm.text else ''}."
            text = f"Alarm {alarm.number} was missed by {late:.0f} s"
        self._bus.publish(
            "alarm.fired", self.name, text, level=5, words=alarm.text or alarm.name, number=alarm.number,
            late_s=round(late, 3), reply=what,
        )  # fmt: skip

    def _keep(self, alarms: dict[int, Alarm]) -> None:
        kept = [
            {
                "number": a.number, "hour": a.hour, "minute": a.minute, "since": a.since, "days": list(a.days),
                "day": a.day.isoformat() if a.day is not None else None, "name": a.name, "text": a.text,
            }
            for a in alarms.values()
        ]  # fmt: skip
        self._file.write({"format": FORMAT, "alarms": kept})
        self._alarms = alarms

    # -- component -----------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        return [Job(self.name, lambda part, stop: self.run(part.beat, stop), self._stall, self.wake)]

    def status(self) -> list[dict[str, Any]]:
        """What is pending, JSON-able."""
        return [{"number": a.number, "name": a.name, "when": self.say(a)} for a in self.pending()]

    def apply(self, config: Config) -> None:
        """Nothing of it is configured."""

    def close(self) -> None:
        """Every change is on disk already."""

    def run(self, beat: Callable[[], None], stop: threading.Event) -> None:
        """Ring alarms until `stop` is set; `wake` ends the nap early."""
        while not stop.is_set():
            self._changed.clear()
            self.ring_due()
            beat()
            self._clock.wait(self._changed, NAP)

    def wake(self) -> None:
        """End the loop's nap: for the owner, after setting `stop`."""
        self._changed.set()


def _read(data: dict[str, Any]) -> dict[int, Alarm]:
    if data["format"] != FORMAT:
        raise ValueError("unknown format")
    found = {}
    for item in data["alarms"]:
        day = date.fromisoformat(item["day"]) if item["day"] is not None else None
        days = tuple(int(one) for one in item["days"])
        if (day is None) == (not days) or any(not 0 <= one <= 6 for one in days):
            raise ValueError("an alarm needs its day")
        alarm = Alarm(
            int(item["number"]), int(item["hour"]), int(item["minute"]), float(item["since"]), day, days,
            str(item["name"]), str(item["text"]),
        )  # fmt: skip
        alarm.due()
        found[alarm.number] = alarm
    return found
