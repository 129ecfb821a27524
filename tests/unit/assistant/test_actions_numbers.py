"""Words, numbers, percentages and durations as people say them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.assistant.phrases.numbers import duration, integer, number, percentage, say_duration, spans
from noctule.assistant.phrases.request import read

DURATIONS = {
    "90 seconds": 90,
    "ninety seconds": 90,
    "an hour and a half": 5400,
    "one and a half hours": 5400,
    "half an hour": 1800,
    "a half hour": 1800,
    "quarter of an hour": 900,
    "a quarter of an hour": 900,
    "three quarters of an hour": 2700,
    "an hour and three quarters": 6300,
    "two and a half minutes": 150,
    "two minutes and a half": 150,
    "a minute and a half": 90,
    "half a minute": 30,
    "1h30m": 5400,
    "1 h 30": 5400,
    "90s": 90,
    "5-minute": 300,
    "twenty-five minutes": 1500,
    "one hundred and twenty seconds": 120,
    "a hundred seconds": 100,
    "two thousand five hundred seconds": 2500,
    "an hour ten": 4200,
    "two hours thirty": 9000,
    "ten minutes fifteen": 615,
    "an hour, 20 minutes and 5 secs": 4805,
    "to minutes": 120,
    "too hours and ate minutes": 7680,
    "2.5 hours": 9000,
    "two point five hours": 9000,
    "a couple of minutes": 120,
    "a couple minutes": 120,
    "an hour and a half minute": 3630,
    "a day": 86400,
    "two weeks": 1209600,
    "fourty minutes": 2400,
    "one second": 1,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_a_duration_is_read_whole(text: str, seconds: float) -> None:
    words = read(text).texts
    assert duration(words, 0) == (pytest.approx(seconds), len(words))


@pytest.mark.parametrize(
    "text", ["", "five", "minutes", "the minutes", "half", "and a half", "hundred", "five six minutes"]
)
def test_not_a_duration(text: str) -> None:
    assert duration(read(text).texts, 0) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("set a five minute pasta timer", ["five minute"]),
        ("set timers for 5 minutes and 10 minutes", ["5 minutes", "10 minutes"]),
        ("a second timer for an hour and a half please", ["a second", "an hour and a half"]),
        ("set it to two hours thirty percent", ["two hours"]),
        ("cancel the five minute one", ["five minute"]),
        ("nothing here", []),
        ("Wake me in 1h30m!", ["1h30m"]),
        ("a timer for to minutes", ["to minutes"]),  # as a recogniser may hear "two"
        ("remind me to eat in an hour", ["an hour"]),
        ("we ate too much", []),
    ],
)
def test_spans_are_the_longest_and_keep_the_persons_spelling(text: str, found: list[str]) -> None:
    request = read(text)
    assert [request.quote(span.start, span.end) for span in spans(request.texts, duration)] == found


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("40", 40),
        ("forty percent", 40),
        ("40%", 40),
        ("forty per cent", 40),
        ("half", 50),
        ("maximum", 100),
        ("zero", 0),
    ],
)
def test_percentages(text: str, level: float) -> None:
    words = read(text).texts
    assert percentage(words, 0) == (level, len(words))


def test_percentage_of_nothing() -> None:
    assert percentage([], 0) is None
    assert percentage(["loud"], 0) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("nineteen", 19), ("forty two", 42), ("a hundred", 100), ("two hundred and five", 205), ("one thousand", 1000)],
)
def test_integers(text: str, value: float) -> None:
    words = read(text).texts
    assert integer(words, 0) == (value, len(words))


def test_numbers_beyond_reason_are_not_read() -> None:
    assert integer(["12345678901"], 0) is None
    assert number(["1.2345678901234"], 0) is None
    assert number([], 0) is None
    assert integer(["²"], 0) is None


@given(st.integers(1, 86399))
def test_say_duration_is_read_back(seconds: int) -> None:
    words = read(say_duration(seconds)).texts
    assert duration(words, 0) == (seconds, len(words))


def test_say_duration_of_nothing() -> None:
    assert say_duration(0.2) == "0 seconds"
    assert say_duration(90000) == "1 day 1 hour"


SAID = ["a", "an", "and", "half", "quarter", "quarters", "of", "couple", "two", "5", "2.5", "point", "hundred"]
SAID += ["thousand", "hour", "minutes", "s", "percent"]


@given(st.lists(st.sampled_from(SAID)))
def test_parsers_never_fail_and_never_read_beyond_the_end(words: list[str]) -> None:
    for parser in (duration, percentage, number, integer):
        for start in range(len(words) + 1):
            parsed = parser(words, start)
            assert parsed is None or (start < parsed[1] <= len(words) and parsed[0] >= 0)
        found = spans(words, parser)
        assert all(one.end < other.end and one.start < other.start for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's the time?", ["what's", "the", "time"]),
        ("what’s THE time", ["what's", "the", "time"]),
        ("set a 5-minute timer", ["set", "a", "5", "minute", "timer"]),
        ("volume 40%!", ["volume", "40", "percent"]),
        ("ｓｅｔ a ﬁsh timer", ["set", "a", "fish", "timer"]),
        ("1:30", ["1:30"]),
        ("<call><timer.set>", ["call", "timer", "set"]),
        ("🙂 … --", []),
        ("naïve café", ["naïve", "café"]),
    ],
)
def test_reading(text: str, words: list[str]) -> None:
    assert list(read(text).texts) == words


@given(st.text())
def test_reading_anything_keeps_places_in_order(text: str) -> None:
    request = read(text)
    at = 0
    for index, word in enumerate(request.words):
        assert 0 <= word.start < word.end <= len(text)
        assert word.end > at or word.start >= at
        at = word.start
        assert request.quote(index, index + 1) == text[word.start : word.end]
        assert " " not in word.text
        assert "<" not in word.text
