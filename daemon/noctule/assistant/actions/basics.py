"""Time, date, help, stop, and the honest no."""

from __future__ import annotations

import time
from collections.abc import Callable

from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.request import Request
from noctule.core.clock import Clock

_DAY = 86400
_OFFSETS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIRST_HALF = ("January", "February", "March", "April", "May", "June")
_MONTHS = (*_FIRST_HALF, "July", "August", "September", "October", "November", "December")


def tell_time(clock: Clock) -> Result:
    """The local time, "14:05"."""
    now = time.localtime(clock.wall())
    return Result({"time": f"{now.tm_hour}:{now.tm_min:02d}"}, {"time": time.strftime("%H:%M:%S", now)})


def tell_date(clock: Clock, day: str) -> Result:
    """ "Today is Monday, 3 March 2025"."""
    today = time.localtime(clock.wall())
    # Noon of the day, so that a change to or from summer time cannot skip a date.
    noon = time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 12, 0, 0, 0, 0, -1))
    then = time.localtime(noon + _OFFSETS[day] * _DAY)
    verb = "was" if day == "yesterday" else "is"
    # Names are ours: strftime's depend on a locale that the service does not set.
    text = f"{_WEEKDAYS[then.tm_wday]}, {then.tm_mday} {_MONTHS[then.tm_mon - 1]} {then.tm_year}"
    return Result({"date": f"{day.capitalize()} {verb} {text}"}, {"date": time.strftime("%Y-%m-%d", then)})


def abilities(registry: ActionRegistry, commands: Callable[[], list[str]]) -> str:
    """One sentence about what this board can do: the bound and allowed actions, and the user's own commands."""
    skip = {"none", "help"}
    can = [spec.summary for spec in registry.bound() if registry.permitted(spec) and spec.name not in skip]
    if not can:
        return "I can't do anything here"
    text = f"I can {', '.join(can[:-1])} and {can[-1]}" if len(can) > 1 else f"I can {can[0]}"
    own = commands()
    return f"{text}. Your own commands: {', '.join(own)}" if own else text


def bind_basics(
    registry: ActionRegistry, clock: Clock, commands: Callable[[], list[str]], stop: Callable[[], None]
) -> None:
    """Bind none, time, date, help and stop."""

    def quiet(call: Call, request: Request) -> Result:
        stop()
        return Result()

    registry.bind("none", lambda call, request: Result())
    registry.bind("time", lambda call, request: tell_time(clock))
    registry.bind("date", lambda call, request: tell_date(clock, call.arguments["day"].text))
    registry.bind("help", lambda call, request: Result({"abilities": abilities(registry, commands)}))
    registry.bind("stop", quiet)
