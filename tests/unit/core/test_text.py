"""A user's words: cleaned without loss, or refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.core.errors import InputError, TooLargeError
from noctule.core.request_text import clean_request


def test_blanks_become_spaces_and_outer_ones_go() -> None:
    assert clean_request("  set a\ttimer\r\nfor 5 minutes \n", 100) == "set a timer  for 5 minutes"


@pytest.mark.parametrize("text", ["Wie spät ist es?", "几点了", "كم الساعة", "time? 👨‍👩‍👧‍👦", "e\u0301", "<|user|>"])
def test_every_language_passes_unchanged(text: str) -> None:
    assert clean_request(text, 100) == text


@pytest.mark.parametrize("char", ["\0", "\x1b", "\x7f", "\x85", "\x1c", "\ud800"])
def test_control_and_half_characters_are_named_with_their_place(char: str) -> None:
    with pytest.raises(InputError, match="at position 3"):
        clean_request(f"abc{char}d", 100)


@pytest.mark.parametrize("text", ["", " ", "\n\t\r", "\u3000"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="empty"):
        clean_request(text, 100)


def test_too_long_says_both_numbers() -> None:
    assert clean_request("a" * 10, 10) == "a" * 10
    with pytest.raises(TooLargeError, match="11 characters long; at most 10"):
        clean_request("a" * 11, 10)


@given(st.text(max_size=60))
def test_what_passes_is_one_clean_line_of_unicode(text: str) -> None:
    try:
        line = clean_request(text, 50)
    except InputError:
        return
    assert line == line.strip() != ""
    assert line.isprintable() or any(c.isspace() or not c.isprintable() for c in line)
    assert not set(line) & set("\n\r\t\x0b\x0c\0\x1b")
    line.encode()
    assert clean_request(line, 50) == line
