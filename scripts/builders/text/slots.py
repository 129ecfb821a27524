"""Values for the slots of the templates: drawn from data/values.txt, or made up."""

from __future__ import annotations

from random import Random

from builders.text.expand import sections

_VALUES = sections("values.txt")
NAMES, TASKS, CITIES, PERSONS = (_VALUES[name] for name in ("names", "tasks", "cities", "persons"))
THINGS, FOODS, SONGS, WEEKDAYS = (_VALUES[name] for name in ("things", "foods", "songs", "weekdays"))

MORE_NAMES, MORE_TASKS = _VALUES["more names"], _VALUES["more tasks"]
#: Words that are crossed with each other to make sentences about anything but us.
CROSSED = {name: _VALUES[f"{name}s"] for name in ("noun", "verb", "adjective", "place")}

_ONES = _VALUES["numbers"]
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# Syllables of made-up words.
_ONSETS = [
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch", "cl",
    "cr", "dr", "fl", "gr", "pl", "pr", "sh", "sl", "sp", "st", "str", "th", "tr", "",
]  # fmt: skip
_VOWELS = [
    "a", "e", "i", "o", "u", "ai", "ea", "ee", "oa", "oo", "ou", "y",
]  # fmt: skip
_CODAS = [
    "b", "ck", "d", "g", "l", "ll", "m", "n", "nd", "ng", "nt", "p", "r", "rk", "s", "ss", "st", "t", "x", "",
    "", "", "",
]  # fmt: skip


def in_words(number: int, rng: Random) -> str:
    """0..999 spelled out, with or without "and"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] if ones == 0 else f"{_TENS[tens]}{rng.choice([' ', '-'])}{_ONES[ones]}"
    hundreds, rest = divmod(number, 100)
    head = f"{rng.choice(['a', _ONES[hundreds]]) if hundreds == 1 else _ONES[hundreds]} hundred"
    return head if rest == 0 else f"{head}{rng.choice([' and ', ' '])}{in_words(rest, rng)}"


def spoken(number: int, rng: Random) -> str:
    """In words, as recognisers write it, or in digits."""
    return str(number) if rng.random() < 0.3 else in_words(number, rng)


def share_of(slot: str, pool: list[str], part: str) -> list[str]:
    """The words of a crossed slot that `part` draws from: every seventh is kept for the test."""
    if slot not in CROSSED:
        return pool
    return [word for at, word in enumerate(pool) if (at % 7 == 3) == (part == "test")]


def pseudo_word(rng: Random) -> str:
    """A word that no dictionary has: a name the model cannot have seen."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice([1, 2, 2, 3]))
    )


#: What recognisers write for these numbers before a unit; noctule.assistant.phrases.numbers reads it.
_HEARD = {2: ["to", "too"], 8: ["ate"]}
#: Durations with these counts and percentages of these values occur only in tests, as does every fifth name and task.
HELD_OUT_COUNTS = frozenset({7, 11, 14, 18, 22, 33, 35, 42, 48, 55, 70, 95})


def _count(rng: Random, held_out: bool, most: int) -> int:
    while True:
        number = (
            rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 45]) if rng.random() < 0.4 else rng.randint(1, most)
        )
        if number <= most and (number in HELD_OUT_COUNTS) == held_out:
            return number


def _unit(name: str, count: float, rng: Random) -> str:
    short = {"hour": ["hr", "h", "hrs"], "minute": ["min", "mins", "m"], "second": ["sec", "secs", "s"]}
    if rng.random() < 0.08:
        return rng.choice(short[name])
    # "a five minute timer" and "five minutes" are both said; recognisers also drop the plural.
    return name if count == 1 or rng.random() < 0.2 else name + "s"


def duration(rng: Random, held_out: bool, longest: int) -> str:
    """Something a person says for a time between a second and `longest` seconds."""
    unit, most = rng.choice([("second", 120), ("minute", 90), ("minute", 90), ("minute", 60), ("hour", 24)])
    if longest <= 60:
        unit, most = "second", longest
    if rng.random() < (0.25 if longest > 60 else 0.08):
        return _fraction(rng, unit, longest)
    count = _count(rng, held_out, most)
    if count in _HEARD and longest > 60 and rng.random() < 0.15:
        return f"{rng.choice(_HEARD[count])} {unit}s"
    text = f"{spoken(count, rng)}{rng.choice([' ', ' ', ' ', '-', ''])}{_unit(unit, count, rng)}"
    # "fiveminutes" is nobody's spelling; "5min" is.
    if not text[0].isdigit():
        text = f"{spoken(count, rng)} {_unit(unit, count, rng)}"
    if longest > 60 and unit != "second" and count < 24 and rng.random() < 0.2:
        smaller = {"hour": "minute", "minute": "second"}[unit]
        extra = _count(rng, held_out, 59)
        text += rng.choice([" ", " and ", " "]) + f"{spoken(extra, rng)} {_unit(smaller, extra, rng)}"
    return text


def _fraction(rng: Random, unit: str, longest: int) -> str:
    if longest <= 60:
        return rng.choice(
            ["half a minute", "a minute", "one minute", "a second", "a quarter of a minute", "a couple of seconds"]
        )
    if unit == "second":
        unit = "minute"
    article = "an" if unit == "hour" else "a"
    few = rng.randint(2, 9)
    return rng.choice(
        [
            f"half {article} {unit}",
            f"{article} {unit} and a half",
            f"{article} {unit}",
            f"one {unit}",
            f"a half {unit}",
            f"{in_words(few, rng)} and a half {unit}s",
            f"{few}.5 {unit}s",
            f"one and a half {unit}s",
            f"{in_words(few, rng)} {unit}s and a half",
            f"a quarter of {article} {unit}",
            f"quarter of {article} {unit}",
            f"three quarters of {article} {unit}",
            f"a couple of {unit}s",
            f"{article} {unit} and a quarter",
            f"{in_words(few, rng)} point five {unit}s",
        ]
    )


def percentage(rng: Random, held_out: bool) -> str:
    """A volume level from 0 to 100."""
    if rng.random() < 0.15:
        return rng.choice(["half", "full", "maximum", "max", "minimum"])
    number = rng.choice(range(0, 101, 5)) if rng.random() < 0.5 else rng.randint(0, 100)
    if (number in HELD_OUT_COUNTS) != held_out:
        return percentage(rng, held_out)
    return spoken(number, rng) + rng.choice(["", "", " percent", " percent", "%", " per cent"])


def step(rng: Random, held_out: bool) -> str:
    """A change of volume."""
    number = rng.choice([5, 10, 15, 20, 25, 30, 50]) if not held_out else rng.choice([7, 35, 18])
    return spoken(number, rng) + rng.choice([" percent", "%", " per cent"])


def _pool(values: list[str], more: list[str], held_out: bool) -> list[str]:
    """Every fifth of `values` for the test; for training the others, and `more`."""
    held = set(values[::5])
    return values[::5] if held_out else [value for value in (*values, *more) if value not in held]


def name(rng: Random, held_out: bool) -> str:
    """What a timer is for. A third are words made up on the spot, so that copying is learned and not a list."""
    if rng.random() < 0.35:
        return " ".join(pseudo_word(rng) for _ in range(rng.choice([1, 1, 2])))
    pool = _pool(NAMES, MORE_NAMES, held_out)
    if rng.random() < 0.1:
        return f"{rng.choice(pool)} {rng.choice(pool)}"
    return rng.choice(pool)


def task(rng: Random, held_out: bool) -> str:
    """Something to be reminded of."""
    pool = _pool(TASKS, MORE_TASKS, held_out)
    chosen = rng.choice(pool)
    if rng.random() < 0.3:
        words = chosen.split()
        words[-1] = name(rng, held_out).split()[0]
        chosen = " ".join(words)
    return chosen


def number(rng: Random) -> str:
    """Any small number, for questions that are none of our business."""
    return spoken(rng.randint(1, 200), rng)


def clock(rng: Random) -> str:
    """A time of day: what a timer is not set to."""
    hour = rng.choice(_ONES[1:13])
    return rng.choice(
        [
            hour, f"{hour} o'clock", f"half past {hour}", f"quarter to {hour}", f"{hour} thirty",
            f"{hour} in the morning",
            f"{rng.randint(1, 12)} am", f"{rng.randint(1, 12)} pm", f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}",
            "noon", "midnight", "dawn", "sunset",
        ]
    )  # fmt: skip
