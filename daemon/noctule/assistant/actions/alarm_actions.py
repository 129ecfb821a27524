"""alarm.set, alarm.remind, alarm.list, alarm.cancel."""

from __future__ import annotations

from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.alarms import Alarm, Alarms
from noctule.assistant.phrases.moment_words import find_moment
from noctule.assistant.phrases.moments import Moment, local
from noctule.assistant.phrases.request import read
from noctule.core.errors import InputError


def bind_alarms(registry: ActionRegistry, alarms: Alarms) -> None:
    """Bind the four to a set of alarms."""
    registry.bind("alarm.set", lambda call, request: _set(alarms, call))
    registry.bind("alarm.remind", lambda call, request: _set(alarms, call))
    registry.bind("alarm.list", lambda call, request: _list(alarms))
    registry.bind("alarm.cancel", lambda call, request: _cancel(alarms, call))


def _moment(text: str) -> Moment:
    found = find_moment(read(text).texts)
    if found is None:
        raise InputError("For when? Say it with the request, for example: set an alarm for seven in the morning.")
    return found[0]


def _set(alarms: Alarms, call: Call) -> Result:
    text, name = call.arguments.get("text"), call.arguments.get("name")
    moment = _moment(call.arguments["at"].text)
    when = moment.next_after(alarms.now(), alarms.zone, later=text is not None)
    alarm = alarms.set(when, moment.days, name.text if name else "", text.text if text else "")
    said = alarms.say(alarm)
    what = f"I will remind you at {said}: {alarm.text}" if alarm.text else f"Alarm set for {said}"
    return Result({"alarm": what}, {"alarm": alarm.number, "due": alarm.due(alarms.zone)})


def _list(alarms: Alarms) -> Result:
    pending = alarms.pending()
    if not pending:
        return Result({"alarms": "No alarm is set"}, {"alarms": []})
    said = [f"{alarm.title} {alarm.text and f'to {alarm.text} '}at {alarms.say(alarm)}" for alarm in pending[:5]]
    more = f"; and {len(pending) - 5} more" if len(pending) > 5 else ""
    text = "; ".join(said) + more
    return Result({"alarms": text[0].upper() + text[1:]}, {"alarms": [alarm.number for alarm in pending]})


def _cancel(alarms: Alarms, call: Call) -> Result:
    """All, those of a time or a name, or the only one. Never guesses between several."""
    pending = alarms.pending()
    if not pending:
        raise InputError("No alarm is set.")
    at, name = call.arguments.get("at"), call.arguments.get("name")
    chosen = pending
    if name is not None:
        chosen = [alarm for alarm in chosen if read(alarm.name).texts == read(name.text).texts]
    if at is not None:
        moment = _moment(at.text)
        chosen = [alarm for alarm in chosen if _is_at(alarm, moment, alarms)]
    if not chosen:
        raise InputError("There is no such alarm.")
    if len(chosen) > 1 and "which" not in call.arguments:
        raise InputError(
            f"Which one? There are {len(chosen)}: {'; '.join(alarms.say(alarm) for alarm in chosen[:5])}."
        )
    said = f"{chosen[0].title} for {alarms.say(chosen[0])}" if len(chosen) == 1 else f"{len(chosen)} alarms"
    gone = alarms.cancel([alarm.number for alarm in chosen])
    return Result({"cancelled": said}, {"alarms": [alarm.number for alarm in gone]})


def _is_at(alarm: Alarm, moment: Moment, alarms: Alarms) -> bool:
    """Whether an alarm is at the time that was said, and on its day where one was."""
    anyhow = Moment(moment.hour, moment.minute, moment.half, moment.exact)
    if (alarm.hour, alarm.minute) not in [(hour, moment.minute) for hour in anyhow.hours(False)]:
        return False
    if moment.days:
        return alarm.days == moment.days
    day = local(alarm.due(alarms.zone), alarms.zone).date()
    today = local(alarms.now(), alarms.zone).date()
    if moment.offset is not None and (day - today).days != moment.offset:
        return False
    if moment.weekday is not None and day.weekday() != moment.weekday:
        return False
    return moment.day is None or (day.month, day.day) == moment.day
