"""timer.set, timer.list, timer.cancel, timer.add, timer.subtract."""

from __future__ import annotations

from noctule.assistant.actions.declared import LONGEST_TIMER
from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.numbers import duration, say_duration, spans
from noctule.assistant.phrases.request import Request, read
from noctule.assistant.timers import Timer, Timers
from noctule.core.clock import Clock
from noctule.core.errors import InputError


def bind_timers(registry: ActionRegistry, timers: Timers, clock: Clock) -> None:
    """Bind them to a set of timers."""
    registry.bind("timer.set", lambda call, request: set_timer(timers, call, request))
    registry.bind("timer.list", lambda call, request: list_timers(timers, clock, call))
    registry.bind("timer.cancel", lambda call, request: cancel_timers(timers, call))
    registry.bind("timer.add", lambda call, request: extend_timer(timers, clock, call, 1))
    registry.bind("timer.subtract", lambda call, request: extend_timer(timers, clock, call, -1))


def extend_timer(timers: Timers, clock: Clock, call: Call, sign: int) -> Result:
    """More or less time for the only timer or the one of a name. Never guesses between several."""
    running, name = timers.running(), call.arguments.get("name")
    if not running:
        raise InputError("No timer is running.")
    if name is not None:
        running = [timer for timer in running if _same(timer.name, name.text)]
        if not running:
            raise InputError(f"There is no {name.text} timer.")
    of = call.arguments.get("of")
    if of is not None:
        running = [timer for timer in running if timer.duration == of.number]
        if not running:
            raise InputError(f"There is no timer for {say_duration(of.number or 0)}.")
    if len(running) > 1:
        raise InputError(f"Which one? There are {len(running)}: {', '.join(timer.title for timer in running)}.")
    title = running[0].title
    changed = timers.extend(running[0].number, sign * (call.arguments["duration"].number or 0.0))
    left = changed.remaining(clock)
    text = f"{title[0].upper()}{title[1:]} now has {say_duration(left)} left"
    return Result({"timer": text}, {"timer": changed.number, "remaining_s": round(left, 3)})


def set_timer(timers: Timers, call: Call, request: Request) -> Result:
    """Start it. Without a usable duration the answer says which are."""
    length = call.arguments.get("duration")
    if length is None or length.number is None:
        said = [span.value for span in spans(request.texts, duration)]
        if said and not 1 <= said[0] <= LONGEST_TIMER:
            raise InputError(f"A timer runs from 1 second to {say_duration(LONGEST_TIMER)}.")
        raise InputError("For how long? Say it with the request, for example: set a timer for ten minutes.")
    name = call.arguments.get("name")
    timer = timers.set(length.number, name.text if name else "")
    return Result({"length": say_duration(timer.duration)}, {"timer": timer.number, "duration_s": timer.duration})


def list_timers(timers: Timers, clock: Clock, call: Call) -> Result:
    """How long each has left, the next one first; only the named ones when a name was given."""
    running = timers.running()
    name = call.arguments.get("name")
    if name is not None:
        running = [timer for timer in running if _same(timer.name, name.text)]
        if not running:
            return Result({"timers": f"There is no {name.text} timer"}, {"timers": []})
    data = {"timers": [timer.number for timer in running]}
    if not running:
        return Result({"timers": "No timer is running"}, data)
    said = [f"{timer.title} has {say_duration(max(1.0, timer.remaining(clock)))} left" for timer in running]
    text = said[0] if len(said) == 1 else f"{len(said)} timers: {'; '.join(said)}"
    return Result({"timers": text[0].upper() + text[1:]}, data)


def cancel_timers(timers: Timers, call: Call) -> Result:
    """Cancel all, the ones of a name or a duration, or the only one. Never guesses between several."""
    running = timers.running()
    if not running:
        raise InputError("No timer is running.")
    name, length = call.arguments.get("name"), call.arguments.get("duration")
    if name is not None:
        chosen = [timer for timer in running if _same(timer.name, name.text)]
        missing = f"There is no {name.text} timer."
    elif length is not None:
        chosen = [timer for timer in running if timer.duration == length.number]
        missing = f"There is no timer for {say_duration(length.number or 0)}."
    else:
        chosen, missing = running, ""
        if "which" not in call.arguments and len(running) > 1:
            raise InputError(f"Which one? There are {len(running)}: {', '.join(timer.title for timer in running)}.")
    if not chosen:
        raise InputError(missing)
    gone = timers.cancel([timer.number for timer in chosen])
    return Result({"cancelled": _titles(gone)}, {"timers": [timer.number for timer in gone]})


def _titles(gone: list[Timer]) -> str:
    return gone[0].title if len(gone) == 1 else f"{len(gone)} timers"


def _same(one: str, other: str) -> bool:
    return read(one).texts == read(other).texts
