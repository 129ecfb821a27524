"""What a written answer sounds like."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noctule.assistant.actions.declared import REFUSALS
from noctule.lm.speech.text_normalisation import cardinal, ordinal, spoken, year

SHORT, LONG = '<break time="0.16s"/>', '<break time="0.32s"/>'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Timer set for 5 minutes.", "timer set for five minutes"),
        ("It is 14:05.", "it is fourteen oh five"),
        ("It is 9:00.", "it is nine o'clock"),
        ("It is 0:00.", "it is midnight"),
        ("It is 0:30.", "it is zero thirty"),
        ("It is 17:45:10.", "it is seventeen forty five"),
        ("The board is at 48 °C", "the board is at forty eight degrees"),
        ("1 °C, 21.5°C", f"one degree {SHORT} twenty one point five degrees"),
        ("Volume at 40%.", "volume at forty percent"),
        ("3.2 of 8.0 GB memory are free", "three point two of eight point zero gigabytes memory are free"),
        ("1 GB, 1.0 GB", f"one gigabyte {SHORT} one point zero gigabytes"),
        (
            "Today is Monday, 3 March 2025.",
            f"today is monday {SHORT} the third of march twenty twenty five",
        ),
        ("the 21st, the 2nd and the 30th", f"the twenty first {SHORT} the second and the thirtieth"),
        ("-5 and 1,250", "minus five and one thousand two hundred fifty"),
        ("call 0049", "call zero zero four nine"),
        ("$3 and 2 €", "three dollars and two euros"),
        ("The CPU is OK", "the c p u is okay"),
        ("IT IS ON", "it is on"),
        ("Café naïve Größe", "cafe naive grosse"),
        ("I can’t do that", "i can't do that"),
        ("one – two: three", f"one {LONG} two {LONG} three"),
        ("rock & roll + 2 = 3", "rock and roll plus two equals three"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
    ],
)
def test_what_is_said(written: str, said: str) -> None:
    assert spoken(written) == said


def test_names_of_files_are_for_the_eye() -> None:
    assert spoken("I took a picture of the camera: camera-20250303-140501.jpg.") == "i took a picture of the camera"
    assert spoken("I recorded 30 seconds from the display: /var/lib/n/a-1.mp4.") == (
        "i recorded thirty seconds from the display"
    )


def test_pauses_stand_between_words_only() -> None:
    assert spoken("One. Two; three,") == f"one {LONG} two {LONG} three"
    assert spoken("... hello!") == "hello"
    assert spoken("?!") == spoken("日本") == spoken("") == ""
    # of two pauses side by side the longer one stays
    assert spoken('One. <break time="0.1s"/> Two') == f"one {LONG} two"
    assert spoken('One <break time="1.5s"/> two') == 'one <break time="1.5s"/> two'


def test_a_part_keeps_the_pause_before_what_follows() -> None:
    assert spoken("Sure, ", ends=False) == f"sure {SHORT}"
    assert spoken("Sure, ") == "sure"
    assert spoken("... ", ends=False) == ""


@pytest.mark.parametrize("reply", sorted(REFUSALS.values()))
def test_every_refusal_keeps_its_words(reply: str) -> None:
    said = re.sub(r"<[^>]*>", " ", spoken(reply)).split()
    assert said == re.sub(r"[^a-z' ]", " ", reply.lower().replace(",", " ")).split()


@example("<>0")
@example("a<b, c>d")
@example("\u00d2K")
@example("0OK")
@given(st.text(max_size=80))
def test_nothing_else_comes_out(text: str) -> None:
    said = spoken(text)
    assert re.fullmatch(r'(([a-z]+(\'[a-z]+)*|<break time="\d+(\.\d*)?s"\s*/?>)( |$))*', said), said
    assert spoken(said) == said  # what is spoken already stays as it is


@given(st.integers(0, 10**12 - 1))
def test_numbers_can_be_read_back(value: int) -> None:
    assert _read(cardinal(value)) == value


def _read(words: str) -> int:
    ones = {cardinal(n): n for n in range(20)} | {cardinal(n): n for n in range(20, 100, 10)}
    total = part = 0
    for word in words.split():
        if word == "hundred":
            part *= 100
        elif word in ("thousand", "million", "billion"):
            total += part * {"thousand": 10**3, "million": 10**6, "billion": 10**9}[word]
            part = 0
        else:
            part += ones[word]
    return total + part


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2025, "twenty twenty five"),
        (1905, "nineteen oh five"),
        (2005, "two thousand five"),
        (1900, "nineteen hundred"),
        (2000, "two thousand"),
    ],
)
def test_years(value: int, said: str) -> None:
    assert year(value) == said


def test_ordinals() -> None:
    said = ["first", "second", "third", "fifth", "eighth", "ninth", "twelfth", "twentieth", "twenty second"]
    assert [ordinal(n) for n in (1, 2, 3, 5, 8, 9, 12, 20, 22)] == said
    assert ordinal(31) == "thirty first"
    assert ordinal(100) == "one hundredth"
