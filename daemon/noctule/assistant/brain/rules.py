"""Requests that rules over words read: alarms, reminders, more and less time, the time of elsewhere. Pure.

Precision comes first: every word of a request must have its part, as a verb, a time, a name or a courtesy, else
nothing is read and the model decides. What names a time that does not exist is read all the same, and its action
then says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from noctule.assistant.actions.elsewhere import zone_of
from noctule.assistant.actions.registry import Call, Value
from noctule.assistant.phrases.moment_words import find_moment
from noctule.assistant.phrases.numbers import duration, spans
from noctule.assistant.phrases.request import Request
from noctule.core.errors import InputError


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_POLITE = _set(
    "please can could would will you i i'd like want need me us my the a an to hey hi ok okay noctule for at on now"
    " just thanks thank kindly let's lets have get"
)
_SET = _set("set create make add new start schedule put up alarm alarms wake give sound ring go off alert")
_CANCEL = _set("cancel delete remove clear disable drop erase scrap")
#: "turn off my six o'clock alarm"; without a time it may be meant for one that rings
_OFF = re.compile(r"\b(?:turn|switch|shut)\b.*\boff\b")
_NOT = re.compile(
    r"\b(?:don't|do not|not|never|didn't|without|unless|if|why|how|is|are|was|were|change|move|snooze"
    r"|edit|reschedule|minutes|hours|seconds|and (?:one|another|two)|both)\b"
)
_LIST = re.compile(
    r"^(?:please |can you |could you |would you )*(?:(?:what|which)(?: alarms?| is| are|'s)|when(?: is|'s| are)"
    r"|show|list|tell|read|give|say|check|display|do i have|have i|did i set|are there|is there|how many|any)\b"
)
_LISTED = _set(
    "what which what's when when's is are show list tell read give say check display do have there how many any all"
    " of set active pending current currently upcoming next got did out about coming on been i've time alarm alarms"
    " enabled made running scheduled will go off ring it's right"
)
_REMIND = re.compile(
    r"^(?:.*\b)?(?:remind me|set (?:a|up a) reminder|make a reminder|create a reminder|reminder)\b(.*)$"
)
_ADD = re.compile(r"\b(?:add|extend|increase|lengthen|prolong|another|more|extra|longer)\b")
_TAKE = re.compile(r"\b(?:subtract|remove|take|decrease|reduce|shorten|cut|knock|shave|less)\b")
_CHANGE = _set(
    "add extend increase lengthen prolong another more extra longer give put subtract remove take decrease reduce"
    " shorten cut knock shave less from off by on onto to with it timer timers additional of time minus plus running"
    " current in that this named called"
)
_BEFORE_TIME = (
    r"^(?:(?:hey|hi|ok|okay|noctule|please|now|and|can|could|would|will|you|do|i|need|want|to|know|tell|give|report|provide"
    r"|say|check|show|find|out|me|us) )*"
)
_ELSEWHERE = re.compile(
    _BEFORE_TIME + r"(?:what(?:'s| is|s)? )?(?:the )?(?:current |local |exact )?time(?: is it| it is)?"
    r"(?: right now| now| currently| today)? (?:over )?(?:in|for|at|of) (.+?)"
    r"(?: right now| now| currently| please| today| at the moment)*$"
)


def rule_call(request: Request) -> Call | None:
    """What the rules read in a request, None for nothing."""
    plain, words = request.plain, request.texts
    if not words or len(words) > 60:
        return _too_long(plain)
    if "remind" in words or "reminder" in words:
        return _reminder(plain)
    if "alarm" in words or "alarms" in words or "wake" in words:
        return _alarm(request)
    if "timer" in words:
        return _more(words, plain)
    if "time" in words:
        return _elsewhere(plain)
    return None


def _too_long(plain: str) -> Call | None:
    """A reminder of any length is read, so that its action says how long one may be."""
    return _reminder(plain) if plain.startswith("remind me ") else None


def _alarm(request: Request) -> Call | None:
    plain, words = request.plain, request.texts
    alarms = "alarm" in words or "alarms" in words
    if alarms and _LIST.search(plain) and not set(words) - _LISTED - _POLITE:
        return Call("alarm.list")
    if (
        alarms
        and (_CANCEL & set(words) or _OFF.search(plain))
        and not re.search(r"\b(?:don't|not|never|except|but|if)\b", plain)
    ):
        return _cancelled(words)
    if _NOT.search(plain) or not ("wake" in words or _SET & set(words)):
        return None
    name, rest = _named(words)
    try:
        found = find_moment(rest)
    except InputError as error:
        return Call("alarm.set", {"at": Value(" ".join(rest))}) if "One time" not in error.message else None
    if found is None or set(found[1]) - _SET - _POLITE:
        return None
    return Call("alarm.set", {"at": Value(" ".join(rest))} | ({"name": Value(name)} if name else {}))


def _cancelled(words: Sequence[str]) -> Call | None:
    name, rest = _named(words)
    given = {"name": Value(name)} if name else {}
    try:
        found = find_moment(rest)
    except InputError:
        return None
    off = _OFF.search(" ".join(words)) is not None
    if off and found is None and not name and "all" not in words:
        return None
    left = (
        set(found[1] if found else rest) - _POLITE - _CANCEL - ({"turn", "switch", "shut", "off"} if off else set())
    )
    left -= {"alarm", "alarms", "set", "of", "that", "i"}
    if left == {"all"} or left == {"every"}:
        return Call("alarm.cancel", {"which": Value("all")}) if found is None else None
    if left:
        return None
    if found is not None:
        return Call("alarm.cancel", given | {"at": Value(" ".join(rest))})
    return Call("alarm.cancel", given if given or "alarms" not in words else {"which": Value("all")})


def _named(words: Sequence[str]) -> tuple[str, list[str]]:
    """The name after "called", to the end, and the words before it."""
    for mark in ("called", "named", "labelled", "labeled"):
        if mark in words:
            at = list(words).index(mark)
            return " ".join(words[at + 1 : at + 7]), list(words[:at])
    return "", list(words)


def _reminder(plain: str) -> Call | None:
    """ "remind me to X at T", "at T remind me to X", "remind me at T to X"."""
    match = _REMIND.match(plain)
    if match is None or re.search(
        r"\b(?:don't|not|never|list|reminders|when (?:i|he|she|we)|delete|cancel)\b", plain
    ):
        return None
    before = plain[: match.start(1)]
    tail = match[1].split()
    mark = next((at for at, word in enumerate(tail) if word in ("to", "about", "that", "of")), None)
    if mark is None:
        return None
    head, body = tail[:mark], tail[mark + 1 :]
    outside = [w for w in before.split() if w not in ("remind", "reminder")] + head
    for place in (outside, body):
        try:
            found = find_moment(place)
        except InputError:
            return None
        if found is None:
            continue
        if place is outside and set(found[1]) - _POLITE - _SET:
            return None
        if place is body and not _at_an_end(body, found[1]):
            return None
        text = " ".join(found[1] if place is body else body)
        if text:
            return Call("alarm.remind", {"at": Value(" ".join(place)), "text": Value(text)})
    return None


def _at_an_end(words: Sequence[str], left: Sequence[str]) -> bool:
    """Whether what is left begins or ends the words: a time in the middle may belong to the task."""
    return list(words[: len(left)]) == list(left) or list(words[-len(left) :]) == list(left)


def _more(words: Sequence[str], plain: str) -> Call | None:
    """More or less time for a timer that runs."""
    found = spans(words, duration)
    if not found or re.search(r"\b(?:don't|not|never|new|another timer|set|start|if|when)\b", plain):
        return None
    add, take = _ADD.search(plain) is not None, _TAKE.search(plain) is not None
    if add == take:
        return None
    span = found[-1] if re.search(r"\bby\b", plain) else found[0]
    other = [one for one in found if one is not span]
    if len(other) > 1:
        return None
    said = {at for one in found for at in range(one.start, one.end)}
    left = [word for at, word in enumerate(words) if at not in said]
    names = [word for word in left if word not in _CHANGE and word not in _POLITE]
    at = left.index("timer")
    after = left[at + 2 :] if left[at + 1 : at + 2] in (["named"], ["called"], ["in"], ["for"]) else []
    after = [word for word in after if word not in _POLITE and word not in ("by",)]
    if len(names) > 3 or names not in (list(left[at - len(names) : at]), after):
        return None
    given = {"duration": Value(" ".join(words[span.start : span.end]), span.value)}
    if other:
        given["of"] = Value(" ".join(words[other[0].start : other[0].end]), other[0].value)
    return Call("timer.add" if add else "timer.subtract", given | ({"name": Value(" ".join(names))} if names else {}))


def _elsewhere(plain: str) -> Call | None:
    match = _ELSEWHERE.match(plain)
    if match is None or zone_of(match[1]) is None:
        return None
    return Call("time.elsewhere", {"place": Value(match[1])})
