"""A user's words, made fit for the model or refused with a sentence. Pure."""

from __future__ import annotations

import unicodedata

from noctule.core.errors import InputError, TooLargeError

_BLANKS = dict.fromkeys((0x09, 0x0A, 0x0B, 0x0C, 0x0D), " ")


def clean_request(text: str, limit: int) -> str:
    """`text` on one line without outer blanks.

    Raises InputError for text that is empty, is not Unicode (half a surrogate pair) or has control characters other
    than blanks; TooLargeError for more than `limit` characters. What users cannot see they did not mean to say, so
    nothing is removed silently.
    """
    if len(text) > limit:
        raise TooLargeError(
            f"The request is {len(text)} characters long; at most {limit} are taken.", "see lm.max_prompt"
        )
    line = text.translate(_BLANKS)
    _refuse_odd(line, "The request")
    line = line.strip()
    if not line:
        raise InputError("The request is empty.", "say what you want: noctule ask what time is it")
    return line


def clean_message(text: str, limit: int, what: str) -> str:
    """One message of a conversation, with its lines. Raises as `clean_request`; `what` names it ("messages[1]").

    It may be empty: an assistant may have said nothing. Carriage returns become the ends of lines they stand for.
    """
    if len(text) > limit:
        raise TooLargeError(f"{what} is {len(text)} characters long; at most {limit} are taken.", "see lm.max_prompt")
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    _refuse_odd(lines.replace("\n", " ").replace("\t", " "), what)
    return lines


def _refuse_odd(line: str, what: str) -> None:
    for position, char in enumerate(line):
        category = unicodedata.category(char)
        if category == "Cc":
            raise InputError(
                f"{what} has a control character (U+{ord(char):04X}) at position {position}.", "remove it"
            )
        if category == "Cs":
            raise InputError(f"{what} is not Unicode text at position {position}.", "send whole characters")
