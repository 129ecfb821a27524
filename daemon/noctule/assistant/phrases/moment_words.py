"""Times of day and days as people say and recognisers write them. Pure.

`find_moment` reads "half past seven tomorrow morning", "7:30 p.m.", "noon on the 25th of May", "every weekday at 6".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from noctule.assistant.phrases.moments import DAILY, MONTHS, WEEKDAYS, WEEKEND, WORKDAYS, Moment
from noctule.assistant.phrases.numbers import integer
from noctule.core.errors import InputError


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ORDINALS = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_REPEATS = {"weekday": WORKDAYS, "weekdays": WORKDAYS, "weekend": WEEKEND, "weekends": WEEKEND, "daily": DAILY}
#: words that tell which half of the day; and the hour that they mean alone
_HALVES = {"morning": "am", "afternoon": "pm", "evening": "pm", "night": "pm", "tonight": "pm"}
_LINKS = frozenset({"at", "on", "for", "in", "the", "this", "of", "by", "around", "about", "from"})


def ordinal(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """ "25th" (read as "25", "th"), "twenty fifth", "third", "25": number and the place after it."""
    if at >= len(words):
        return None
    if words[at] in _ORDINALS:
        return _ORDINALS.index(words[at]) + 1, at + 1
    if words[at] in ("twenty", "thirty") and at + 1 < len(words) and words[at + 1] in _ORDINALS[:9]:
        return {"twenty": 20, "thirty": 30}[words[at]] + _ORDINALS.index(words[at + 1]) + 1, at + 2
    if words[at] == "thirtieth":
        return 30, at + 1
    found = integer(words, at)
    if found is None or not 1 <= found[0] <= 99:
        return None
    here = found[1]
    return int(found[0]), here + 1 if here < len(words) and words[here] in ("st", "nd", "rd", "th") else here


def month_day(words: Sequence[str], at: int) -> tuple[tuple[int, int], int] | None:
    """ "may 25th", "the 25th of may": (month, day) and the place after it."""
    if at < len(words) and words[at] in MONTHS:
        skip = at + 2 if at + 1 < len(words) and words[at + 1] == "the" else at + 1
        found = ordinal(words, skip)
        return ((MONTHS.index(words[at]) + 1, found[0]), found[1]) if found is not None else None
    found = ordinal(words, at)
    if found is None:
        return None
    here = found[1] + 1 if found[1] < len(words) and words[found[1]] == "of" else found[1]
    if here < len(words) and words[here] in MONTHS:
        return (MONTHS.index(words[here]) + 1, found[0]), here + 1
    return None


def clock_time(words: Sequence[str], at: int) -> tuple[int, int, str, bool, int] | None:
    """hour, minute, "am"/"pm"/"", whether of 24 hours, place after it. InputError for 25 o'clock."""
    if at >= len(words):
        return None
    word = words[at]
    if word in ("noon", "midday", "midnight"):
        return (0 if word == "midnight" else 12), 0, "", True, at + 1
    past = _past(words, at)
    if past is not None:
        return past
    match = re.fullmatch(r"(\d{1,2})[:.](\d\d)", word)
    if match is not None:
        hour, minute, here = int(match[1]), int(match[2]), at + 1
    elif re.fullmatch(r"[12]?\d[0-5]\d", word):
        hour, minute, here = int(word[:-2]), int(word[-2:]), at + 1
    else:
        whole = integer(words, at)
        if whole is not None and word.isalpha() and 100 <= whole[0] <= 2359 and whole[0] % 100 < 60:
            # "seven hundred and forty five pm" is a quarter to eight
            half, here = _half(words, whole[1])
            hour, minute = divmod(int(whole[0]), 100)
            return (hour, minute, half, hour > 12, here) if half or hour > 12 else None
        if whole is None or whole[0] > 99:
            return None
        hour, minute, here = int(whole[0]), 0, whole[1]
        if word.isalpha() and hour > 20 and hour % 10 and here == at + 2 and hour != 25:
            return None  # "twenty five": no hour
        rest = integer(words, here)
        if rest is not None and 10 <= rest[0] <= 59:
            minute, here = int(rest[0]), rest[1]
        elif here + 1 < len(words) and words[here] in ("oh", "0") and (last := integer(words, here + 1)) is not None:
            minute, here = int(last[0]), last[1]
    half, after = _half(words, here)
    clock = after < len(words) and words[after] in ("o'clock", "oclock")
    here = after + 1 if clock else after
    if clock and not half:
        half, here = _half(words, here)
    if hour > 24 or minute > 59:
        raise InputError("There is no such time of day.")
    exact = hour > 12 or hour == 0 or (match is not None and word.startswith("0"))
    return hour % 24, minute, half, exact, here


def _half(words: Sequence[str], at: int) -> tuple[str, int]:
    if at < len(words) and words[at] in ("am", "pm"):
        return words[at], at + 1
    if at + 1 < len(words) and words[at] in ("a", "p") and words[at + 1] == "m":
        return words[at] + "m", at + 2
    return "", at


def _past(words: Sequence[str], at: int) -> tuple[int, int, str, bool, int] | None:
    """ "half past seven", "a quarter to 8", "ten past six"."""
    here = at + 1 if words[at] == "a" else at
    if here >= len(words):
        return None
    if words[here] in ("half", "quarter"):
        minutes, here = (30 if words[here] == "half" else 15), here + 1
    else:
        count = integer(words, here)
        if count is None or not 1 <= count[0] <= 29:
            return None
        minutes, here = int(count[0]), count[1]
        here = here + 1 if here < len(words) and words[here] == "minutes" else here
    if here >= len(words) or words[here] not in ("past", "after", "to", "till", "before"):
        return None
    hour = integer(words, here + 1)
    if hour is None or not 1 <= hour[0] <= 23:
        return None
    half, after = _half(words, hour[1])
    value = int(hour[0])
    if words[here] in ("to", "till", "before"):
        # "quarter to twelve p.m." is before noon
        value, minutes = (value - 1 or 12), 60 - minutes
        half = {"am": "pm", "pm": "am"}.get(half, "") if value == 11 else half
    return value, minutes, half, value > 12, after


@dataclass
class _Parts:
    clock: tuple[int, int, str, bool] | None = None
    half: str = ""
    offset: int | None = None
    weekday: int | None = None
    day: tuple[int, int] | None = None
    days: tuple[int, ...] = ()


def find_moment(words: Sequence[str]) -> tuple[Moment, list[str]] | None:
    """The moment that the words name and the words that have no part in it; None without a time of day.

    Raises InputError for a time of day or a date that does not exist, and where two times are named.
    """
    parts, left, at = _Parts(), [], 0
    while at < len(words):
        after = _part(words, at, parts)
        if after is None:
            left.append(words[at])
            at += 1
            continue
        while left and left[-1] in _LINKS:
            left.pop()
        at = after
    if parts.clock is None:
        return None
    hour, minute, half, exact = parts.clock
    half = half or ("" if exact else parts.half)
    if half == "pm" and parts.half == "pm" and "night" in words and hour == 12:
        half = "am"
    return Moment(hour, minute, half, exact, parts.offset, parts.weekday, parts.day, parts.days), left


def _part(words: Sequence[str], at: int, parts: _Parts) -> int | None:
    """Read one part of a moment at a place; where it ends, None when none begins there."""
    word, pair = words[at], tuple(words[at : at + 2])
    if word in ("today", "tonight", "tomorrow", "daily") or word in _HALVES:
        if word in ("today", "tonight"):
            parts.offset = 0
        elif word == "tomorrow":
            parts.offset = 1
        elif word == "daily":
            parts.days = DAILY
        parts.half = _HALVES.get(word, parts.half)
        return at + 1
    if tuple(words[at : at + 3]) in (("day", "after", "tomorrow"),):
        parts.offset = 2
        return at + 3
    if word in ("every", "each") and len(pair) == 2:
        if pair[1] in ("day", "morning", "evening", "night", "afternoon"):
            parts.days, parts.half = DAILY, _HALVES.get(pair[1], parts.half)
            return at + 2
        if pair[1] in _REPEATS or pair[1].rstrip("s") in WEEKDAYS:
            parts.days = _REPEATS.get(pair[1]) or (WEEKDAYS.index(pair[1].rstrip("s")),)
            return _more_days(words, at + 2, parts)
        return None
    if word in ("weekdays", "weekends"):
        parts.days = _REPEATS[word]
        return at + 1
    if word in WEEKDAYS:
        parts.weekday = WEEKDAYS.index(word)
        return at + 1
    if word.endswith("s") and word[:-1] in WEEKDAYS:
        parts.days = (WEEKDAYS.index(word[:-1]),)
        return _more_days(words, at + 1, parts)
    dated = month_day(words, at)
    if dated is not None:
        parts.day = dated[0]
        return dated[1]
    found = clock_time(words, at)
    if found is None:
        return None
    if found[4] < len(words) and words[found[4]] in (
        "minutes",
        "minute",
        "hours",
        "hour",
        "seconds",
        "days",
        "percent",
    ):
        return None
    if parts.clock is not None:
        raise InputError("One time at a time, please.")
    parts.clock = found[:4]
    return found[4]


def _more_days(words: Sequence[str], at: int, parts: _Parts) -> int:
    """Further days of a list: "every monday and friday"."""
    while at + 1 < len(words) and words[at] == "and" and words[at + 1].rstrip("s") in WEEKDAYS:
        parts.days = tuple(sorted({*parts.days, WEEKDAYS.index(words[at + 1].rstrip("s"))}))
        at += 2
    return at
