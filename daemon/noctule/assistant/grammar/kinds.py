"""What fills a slot: the words of each kind, and the value they mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from noctule.assistant.grammar.template import Rule, Sequenced, Slot, TemplateError, Text
from noctule.assistant.phrases.names import name_spans
from noctule.assistant.phrases.numbers import duration, integer, number, percentage
from noctule.assistant.phrases.request import Request, read

#: kinds that take any words, and how many at most
FREE = {"name": 6, "task": 6, "text": 8}
#: kinds that are rules of english/kinds.txt
NAMED = ("number", "percent", "duration", "time", "day", "weekday")
_NUMERIC = {"number": number, "percent": percentage, "duration": duration}
#: a number slot with bounds this near is spelled out, so that nothing else is heard
_SPELLED = 400
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True)
class SlotValue:
    """text: for a program; number: of number, percent and duration (seconds)."""

    text: str
    number: float | None = None


#: list name -> value -> the ways it is spoken
Lists = Mapping[str, Sequence[tuple[str, Sequence[str]]]]


def options(slot: Slot, lists: Lists) -> Iterable[Sequenced]:
    """The templates of what may fill a slot whose kind is known. Raises TemplateError."""
    kind = slot.kind or slot.name
    if kind == "digits":
        return [
            (Text((str(n),)),) for n in range(int(slot.low or 0), int(999 if slot.high is None else slot.high) + 1)
        ]
    if kind == "decimals":
        return [(Text((f"{whole}.{part}",)),) for whole in range(10) for part in ("5", "25", "75")]
    if kind == "clock_digits":
        return [(Text((f"{hour}:{minute:02d}",)),) for hour in range(24) for minute in range(60)]
    if kind in lists:
        spoken = [way for _, ways in lists[kind] for way in ways]
        return [(Text(tuple(way.split())),) for way in spoken if read(way).texts]
    if kind == "number" and slot.low is not None and slot.high is not None and _spelled(slot.low, slot.high):
        bounded = range(int(slot.low), int(slot.high) + 1)
        return [(Text(tuple(way.split())),) for n in bounded for way in (*in_words(n), str(n))]
    if kind in NAMED:
        return [(Rule(kind),)]
    if kind in FREE:
        return [(Rule("common_name"),)] if kind == "name" else []
    known = ", ".join(sorted({*NAMED, *FREE, *lists}))
    raise TemplateError(
        f"{{{slot.name}{f':{kind}' if kind != slot.name else ''}}}: there is no such kind or list (known: {known})"
    )


def _spelled(low: float, high: float) -> bool:
    return low >= 0 and low == int(low) and high == int(high) and high - low <= _SPELLED and high < 1000


def in_words(value: int) -> list[str]:
    """The ways to say 0..999 in words."""
    if value < 20:
        return [_ONES[value]]
    if value < 100:
        tens, ones = divmod(value, 10)
        return [_TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")]
    hundreds, rest = divmod(value, 100)
    heads = ["a hundred", "one hundred"] if hundreds == 1 else [f"{_ONES[hundreds]} hundred"]
    if not rest:
        return heads
    return [f"{head} {joint}{tail}" for head in heads for joint in ("", "and ") for tail in in_words(rest)]


def value_of(slot: Slot, request: Request, start: int, end: int, lists: Lists) -> SlotValue | None:
    """What the words start..end (end excluded) mean in this slot; None where they are no such thing, or out of
    bounds."""
    words, kind = request.texts, slot.kind
    said = words[start:end]
    if kind in lists:
        spoken = next(
            (value for value, ways in lists[kind] if any(_same(read(way).texts, said) for way in ways)), None
        )
        return None if spoken is None else SlotValue(spoken)
    if kind in FREE:
        spans = () if kind == "text" else name_spans(words, FREE[kind])
        fits = kind == "text" or any(span.start == start and span.end == end for span in spans)
        return SlotValue(request.quote(start, end)) if fits else None
    if kind in _NUMERIC:
        # only the slot's own words: "set it to five minutes please" must not read on
        found = _NUMERIC[kind](said, 0)
        if found is None or found[1] != len(said):
            return None
        if (slot.low is not None and found[0] < slot.low) or (slot.high is not None and found[0] > slot.high):
            return None
        return SlotValue(_plain(found[0]), found[0])
    if kind == "time":
        minutes = time_of_day(said)
        return None if minutes is None else SlotValue(f"{minutes // 60:02d}:{minutes % 60:02d}")
    return SlotValue(" ".join(said))


def _same(spoken: Sequence[str], said: Sequence[str]) -> bool:
    """Whether these are the same words, numbers in words or in digits."""
    return len(spoken) == len(said) and all(
        a == b or (b.isdigit() and integer([a], 0) == (float(b), 1)) for a, b in zip(spoken, said, strict=True)
    )


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def time_of_day(words: Sequence[str]) -> int | None:
    """Minutes since midnight of "half past seven", "7:30 pm", "noon", "quarter to eight in the evening"; without a
    half of the day as the words say it, "seven" being 7 o'clock. None for what is no time."""
    text = " ".join(words)
    if text in ("noon", "midday"):
        return 720
    if text == "midnight":
        return 0
    half = ""
    for ending, which in _HALVES:
        if text.endswith(ending):
            text, half = text[: -len(ending)].strip(), which
            break
    found = _clock(text.replace(" o'clock", "").split())
    if found is None:
        return None
    hour, minute = found
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return hour * 60 + minute if 0 <= hour < 24 and 0 <= minute < 60 else None


_HALVES = (
    ("a m", "am"), ("p m", "pm"), ("am", "am"), ("pm", "pm"), ("in the morning", "am"), ("in the afternoon", "pm"),
    ("in the evening", "pm"), ("at night", "pm"),
)  # fmt: skip


def _clock(words: Sequence[str]) -> tuple[int, int] | None:
    """(hour, minute) of the words without "o'clock" and half of the day."""
    if len(words) == 1 and re.fullmatch(r"\d{1,2}:\d\d", words[0]):
        digits = words[0].split(":")
        return int(digits[0]), int(digits[1])
    for joint, sign in (("past", 1), ("to", -1)):
        if joint in words:
            at = list(words).index(joint)
            head = [word for word in words[:at] if word not in ("a", "minutes")]
            minutes = {"half": 30, "quarter": 15}.get(" ".join(head)) or _integer(head)
            hour_said = _integer(words[at + 1 :])
            if minutes is None or hour_said is None or not 1 <= hour_said <= 12:
                return None
            total = (hour_said % 12) * 60 + sign * minutes
            hour, minute = divmod(total % 720, 60)
            return hour or 12, minute
    hour_said = _integer(words)
    if hour_said is not None and len(words) == 1:
        return hour_said, 0
    if len(words) < 2:
        return None
    first, rest = _integer(words[:1]), [word for word in words[1:] if word not in ("o", "oh")]
    second = _integer(rest)
    return None if first is None or second is None else (first, second)


def _integer(words: Sequence[str]) -> int | None:
    found = integer(words, 0) if words else None
    return int(found[0]) if found is not None and found[1] == len(words) else None
