"""Which moment people mean by a time of day and a day, and how it is said back. Pure.

`Moment.next_after` says when a time that was said is (read by phrases/moment_words.py). Local time is what the
board's zone makes of it: a time that a clock change
skips is taken with the offset from before it (2:30 rings at 3:30), one that comes twice is the first of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from noctule.core.errors import InputError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
DAILY, WORKDAYS, WEEKEND = (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4), (5, 6)


@dataclass(frozen=True)
class Moment:
    """hour 0 to 23, or 1 to 12 with `half` unknown; days: weekdays that repeat, Monday 0; date: the one day meant.

    offset: days from today; weekday: the next one of that name.
    """

    hour: int
    minute: int = 0
    half: str = ""
    exact: bool = False
    offset: int | None = None
    weekday: int | None = None
    day: tuple[int, int] | None = None
    days: tuple[int, ...] = ()

    def hours(self, later: bool) -> tuple[int, ...]:
        """Hours of 24 that it may mean, where a day is known the likelier alone. later: of an afternoon at 1 to 6."""
        if self.exact:
            return (self.hour,)
        noon = self.hour % 12
        if self.half:
            return (noon + 12,) if self.half == "pm" else (noon,)
        if self.hour == 12 and self.offset == 0:
            return (12,)
        if self.offset in (None, 0) and self.weekday is None and self.day is None and not self.days:
            return (noon, noon + 12)
        return (noon + 12,) if self.hour == 12 or (later and self.hour < 7) else (noon,)

    def next_after(self, now: float, zone: tzinfo | None = None, later: bool = False) -> datetime:
        """The local moment meant, seen from `now` in epoch seconds; naive. InputError for one that is past."""
        here = local(now, zone)
        if self.day is not None:
            dates = [_dated(self.day, here.date())]
        elif self.offset is not None:
            dates = [here.date() + timedelta(days=self.offset)]
        elif self.weekday is not None:
            dates = [here.date() + timedelta(days=(self.weekday - here.weekday()) % 7 + more) for more in (0, 7)]
        else:
            dates = [here.date() + timedelta(days=more) for more in range(9)]
        for day in dates:
            if self.days and day.weekday() not in self.days:
                continue
            for hour in self.hours(later):
                found = datetime.combine(day, time(hour, self.minute))
                if epoch(found, zone) > now:
                    return found
        raise InputError("That time is past.")


def local(now: float, zone: tzinfo | None = None) -> datetime:
    """The wall clock's reading at `now`, naive. zone: None for the board's."""
    return datetime.fromtimestamp(now, zone).replace(tzinfo=None)


def epoch(moment: datetime, zone: tzinfo | None = None) -> float:
    """Epoch seconds of a naive local reading (PEP 495: fold 0)."""
    return moment.replace(tzinfo=zone).timestamp()


def say_moment(moment: datetime, now: datetime, days: Sequence[int] = ()) -> str:
    """ "7:30 in the morning tomorrow", in full."""
    hour = moment.hour
    if moment.minute == 0 and hour in (0, 12):
        clock = "midnight" if hour == 0 else "noon"
    else:
        half = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
        clock = f"{hour % 12 or 12}:{moment.minute:02d} {half}"
    if days:
        return f"{clock}, {say_days(days)}"
    ahead = (moment.date() - now.date()).days
    if ahead in (0, 1):
        return f"{clock} {'today' if ahead == 0 else 'tomorrow'}"
    return f"{clock} on {WEEKDAYS[moment.weekday()].title()}, {moment.day} {MONTHS[moment.month - 1].title()}"


def say_days(days: Sequence[int]) -> str:
    """ "every day", "on weekdays", "every Monday and Friday"."""
    named = {DAILY: "every day", WORKDAYS: "on weekdays", WEEKEND: "on weekends"}.get(tuple(days))
    return named or "every " + " and ".join(WEEKDAYS[day].title() for day in days)


def _dated(day: tuple[int, int], today: date) -> date:
    """The next day of that month and date. InputError for the 31st of June."""
    month, number = day
    for year in range(today.year, today.year + 9):
        try:
            found = date(year, month, number)
        except ValueError:
            continue
        if found >= today:
            return found
    raise InputError(f"There is no {number} {MONTHS[month - 1].title()}.")
