"""Reading aloud, clauses, pieces, and what is made of espeak-ng's answers. No model and no espeak-ng needed."""

from __future__ import annotations

import sys

import pytest

from noctule.core.errors import UnavailableError
from noctule.lm.speech.piper.clauses import LONGEST, ClauseCutter
from noctule.lm.speech.piper.espeak import Espeak
from noctule.lm.speech.piper.espeak_child import ending, merged
from noctule.lm.speech.piper.pieces import cut
from noctule.lm.speech.reading_aloud import said


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It is 16:07.", "It is sixteen oh seven."),
        ("At 7:00 pm, 50% of 3 GB.", "At seven P M, fifty percent of three gigabytes."),
        ("-5 °C on 1 December 2026", "minus five degrees on the first of December twenty twenty six"),
        ("2026-12-01", "the first of December twenty twenty six"),
        ("$3.50, e.g. 1/2 cup", "three dollars fifty cents, for example a half cup"),
        ("version 3.10.2", "version three point ten point two"),
        ("call 0151234567", "call zero one five one two three four five six seven"),
        ("5-10 of mp3", "five to ten of mp three"),
        ("Timer for pasta set: 1 hour 30 minutes.", "Timer for pasta set: one hour thirty minutes."),
        ("😀 😀", ""),
        ("...", ""),
    ],
)
def test_reads_as_a_person_would(written: str, spoken: str) -> None:
    assert said(written) == spoken


def cut_up(text: str, size: int) -> list[str]:
    cutter, out = ClauseCutter(), []
    for at in range(0, len(text), size):
        out += cutter.more(text[at : at + size])
    return [clause.text for clause in [*out, *cutter.close()]]


def test_the_clauses_do_not_depend_on_how_the_text_comes() -> None:
    text = "Good morning, Dr. Smith. It will rain in the afternoon of this long day, so take an umbrella! Bye"
    whole = cut_up(text, len(text))
    assert whole == [
        "Good morning, Dr. Smith.",
        "It will rain in the afternoon of this long day,",
        "so take an umbrella!",
        "Bye",
    ]
    assert all(cut_up(text, size) == whole for size in (1, 2, 3, 7, 20))


def test_a_break_is_silence_and_a_text_without_end_is_cut() -> None:
    cutter = ClauseCutter()
    first, last = [*cutter.more('One <break time="0.5s"/> two'), *cutter.close()]
    assert (first.text, first.silence, last.text) == ("One", 0.5, "two")
    pieces = cut_up("word " * 20_000, 5000)
    assert max(map(len, pieces)) <= LONGEST
    assert " ".join(pieces).split() == ["word"] * 20_000


@pytest.mark.parametrize("total", [1, 7, 8, 9, 31, 33, 100, 195, 5000])
def test_the_pieces_hold_every_frame_and_little_more(total: int) -> None:
    pieces = cut(total, (8, 32))
    assert total <= sum(pieces) < total + 8
    assert cut(0, (8, 32)) == ()


def test_the_punctuation_is_told_from_the_text_that_was_consumed() -> None:
    assert ending("Hello, D", last=False) == (",", False)
    assert ending("t's 3.5 degrees; i", last=False) == (";", False)
    assert ending('quoted". A', last=False) == (".", True)
    assert ending("eally... (", last=False) == ("", False)
    assert ending("3.5", last=True) == ("", True)
    assert ending("the end?!", last=True) == ("?", True)


def test_the_glide_of_the_other_alphabet_is_kept() -> None:
    assert merged("ð|ɪ| ˈoʊ|l|d", "D|I2|; 'oU|l|d") == "ðɪʲ ˈoʊld"
    assert merged("æ|n|d", "a|n") == "ænd"


def test_without_espeak_ng_one_sentence_says_what_to_install() -> None:
    hello = 'print(\'{"error": "espeak-ng\\\'s library is not installed"}\')'
    espeak = Espeak([sys.executable, "-c", hello])
    with pytest.raises(UnavailableError) as caught:
        espeak.clauses("en-us", "Hello.")
    assert "not installed" in caught.value.message
    assert "apt install espeak-ng" in (caught.value.hint or "")


def test_a_process_that_ends_is_asked_once_more_and_then_given_up() -> None:
    program = "print('{\"ready\": true}', flush=True); input()"
    espeak = Espeak([sys.executable, "-c", program])
    with pytest.raises(UnavailableError):
        espeak.clauses("en-us", "Hello.")
    assert espeak.restarts == 2
    espeak.close()
