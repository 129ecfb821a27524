"""Numbers, percentages and durations as people say them. Pure.

Each parser reads a word list from one position and returns the value with the position after it, or None when no
number starts there. `spans` finds every place of a request that a parser can read in full; the grammar lets the
language model copy those and nothing else, so the model never has to do arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90
}  # fmt: skip
_ONES["oh"] = 0
_TENS["fourty"] = 40
#: What a recogniser may write for a number; it counts only where a unit in the plural follows at once.
_HEARD = {"to": 2.0, "too": 2.0, "ate": 8.0}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "quarters": 0.25}

#: unit word -> (seconds, rank); a duration names its units from the largest rank down.
_UNITS: dict[str, tuple[int, int]] = {}
for _rank, (_seconds, _names) in enumerate(
    [
        (1, "second seconds sec secs s"),
        (60, "minute minutes min mins m"),
        (3600, "hour hours hr hrs h"),
        (86400, "day days d"),
        (604800, "week weeks w"),
    ]
):
    for _name in _names.split():
        _UNITS[_name] = (_seconds, _rank)

Parsed = tuple[float, int] | None
Parser = Callable[[Sequence[str], int], Parsed]


@dataclass(frozen=True)
class Span:
    """Words start..end (end excluded) of a request that mean `value`."""

    start: int
    end: int
    value: float


def integer(words: Sequence[str], at: int) -> Parsed:
    """A whole number: digits ("90"), or words up to the thousands ("one hundred and twenty five")."""
    if at < len(words) and words[at].isascii() and words[at].isdigit():
        # Ten digits are beyond every bound here; longer ones would only cost time.
        return (float(words[at]), at + 1) if len(words[at]) <= 10 else None
    total, here = 0.0, at
    for scale, name in ((1000, "thousand"), (100, "hundred")):
        head = _below_hundred(words, here) or _article(words, here)
        if head is not None and head[1] < len(words) and words[head[1]] == name:
            total += head[0] * scale
            here = head[1] + 1
    if here > at:
        rest = here + 1 if here < len(words) and words[here] == "and" else here
        tail = _below_hundred(words, rest)
        return (total + tail[0], tail[1]) if tail is not None else (total, here)
    return _below_hundred(words, at)


def _article(words: Sequence[str], at: int) -> Parsed:
    return (1.0, at + 1) if at < len(words) and words[at] in ("a", "an") else None


def _below_hundred(words: Sequence[str], at: int) -> Parsed:
    if at >= len(words):
        return None
    if words[at] in _TENS:
        ones = _ONES.get(words[at + 1]) if at + 1 < len(words) else None
        if ones is not None and 0 < ones < 10:
            return float(_TENS[words[at]] + ones), at + 2
        return float(_TENS[words[at]]), at + 1
    if words[at] in _ONES:
        return float(_ONES[words[at]]), at + 1
    return None


def number(words: Sequence[str], at: int) -> Parsed:
    """An `integer`, or one with decimals: "2.5", "two point five", "two and a half"."""
    if at >= len(words):
        return None
    head, point, tail = words[at].partition(".")
    if point and (head + tail).isascii() and head.isdigit() and tail.isdigit() and len(words[at]) <= 12:
        return float(words[at]), at + 1
    whole = integer(words, at)
    if whole is None:
        return None
    value, here = whole
    if here < len(words) and words[here] == "point":
        decimals = ""
        after = here + 1
        while after < len(words) and (_ONES.get(words[after], 10) < 10 or words[after].isdigit()):
            decimals += str(_ONES.get(words[after], words[after]))
            after += 1
        if decimals and len(decimals) <= 6:
            return value + float("0." + decimals), after
    extra = _and_fraction(words, here)
    return (value + extra[0], extra[1]) if extra is not None else whole


def _and_fraction(words: Sequence[str], at: int) -> Parsed:
    """ "and a half", "and a quarter", "and three quarters" -> the fraction."""
    if at >= len(words) or words[at] != "and":
        return None
    count = _below_hundred(words, at + 1) or _article(words, at + 1)
    if count is None or count[1] >= len(words) or words[count[1]] not in _FRACTIONS:
        return None
    return count[0] * _FRACTIONS[words[count[1]]], count[1] + 1


def _quantity(words: Sequence[str], at: int) -> Parsed:
    """What may stand before a unit: a number, an article, "half an", "a couple of", "three quarters of an"."""
    if at >= len(words):
        return None
    if words[at] in _HEARD:
        follows = words[at + 1] if at + 1 < len(words) else ""
        return (_HEARD[words[at]], at + 1) if follows in ("seconds", "minutes", "hours") else None
    start = at + 1 if words[at] in ("a", "one", "an") and at + 1 < len(words) else at
    if words[start] in ("half", "quarter"):
        return _of(words, start + 1, _FRACTIONS[words[start]])
    if words[start] == "couple":
        return 2.0, start + 2 if start + 1 < len(words) and words[start + 1] == "of" else start + 1
    found = number(words, at)
    if found is not None:
        value, here = found
        if here < len(words) and words[here] == "quarters":
            return _of(words, here + 1, value * 0.25)
        return found
    return _article(words, at)


def _of(words: Sequence[str], at: int, value: float) -> Parsed:
    """Skip "of", "a", "an" between a fraction and its unit."""
    if at < len(words) and words[at] == "of":
        at += 1
    if at < len(words) and words[at] in ("a", "an"):
        at += 1
    return value, at


def duration(words: Sequence[str], at: int) -> Parsed:
    """Seconds: "90 seconds", "an hour and a half", "two and a half minutes", "1 h 30 m", "an hour ten"."""
    total, here, rank = 0.0, at, 99
    while True:
        start = here + 1 if here > at and here < len(words) and words[here] == "and" else here
        count = _quantity(words, start)
        if count is None:
            break
        value, after = count
        unit = _UNITS.get(words[after]) if after < len(words) else None
        if unit is None or unit[1] >= rank:
            # "an hour ten", "two hours thirty": a bare number counts the next smaller unit. The one of "the five
            # minute one" does not.
            bare = integer(words, here) if here > at and rank > 0 else None
            if bare is not None and 1 < bare[0] < 60 and rank in (1, 2) and _ends(words, bare[1]):
                total += bare[0] * (60 if rank == 2 else 1)
                here = bare[1]
            break
        seconds, rank = unit
        total += value * seconds
        here = after + 1
        extra = _and_fraction(words, here)
        # "an hour and a half" adds to the hour; "an hour and a half minute" does not.
        if extra is not None and not (extra[1] < len(words) and words[extra[1]] in _UNITS):
            total += extra[0] * seconds
            here = extra[1]
    return (total, here) if here > at else None


def _ends(words: Sequence[str], at: int) -> bool:
    """True when the word at `at` cannot continue a number ("two hours thirty percent" is not 2 h 30)."""
    return at >= len(words) or words[at] not in ("percent", "and", "point", "hundred", "thousand")


_LEVELS = {"max": 100.0, "maximum": 100.0, "full": 100.0, "half": 50.0, "halfway": 50.0, "minimum": 0.0, "min": 0.0}


def percentage(words: Sequence[str], at: int) -> Parsed:
    """A level in percent: "40", "forty percent", "half", "full", "maximum"."""
    if at >= len(words):
        return None
    if words[at] in _LEVELS:
        return _LEVELS[words[at]], at + 1
    found = integer(words, at)
    if found is None:
        return None
    value, here = found
    if here < len(words) and words[here] == "percent":
        return value, here + 1
    if words[here : here + 2] in (["per", "cent"], ("per", "cent")):
        return value, here + 2
    return found


def spans(words: Sequence[str], parser: Parser) -> list[Span]:
    """The longest parts of `words` that `parser` reads, left to right, none inside another."""
    found: list[Span] = []
    for start in range(len(words)):
        parsed = parser(words, start)
        if parsed is not None and (not found or parsed[1] > found[-1].end):
            found.append(Span(start, parsed[1], parsed[0]))
    return found


def say_duration(seconds: float) -> str:
    """5400 -> "1 hour 30 minutes"; rounded to whole seconds."""
    left = round(seconds)
    parts = []
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts) if parts else "0 seconds"
