"""Whether two phrases are the same but for courtesies, spelling and punctuation. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from noctule.assistant.phrases.request import read

#: What may stand before or after a phrase without changing it.
_COURTESY = frozenset({"please", "hey", "noctule", "thanks", "now"})


def normal_form(phrase: str) -> tuple[str, ...]:
    """The words by which phrases are compared; empty for one that cannot be said."""
    return _trim(read(phrase).texts)


def _trim(words: Sequence[str]) -> tuple[str, ...]:
    """Without courtesies at either end."""
    start, end = 0, len(words)
    while start < end and words[start] in _COURTESY:
        start += 1
    while end > start and words[end - 1] in _COURTESY:
        end -= 1
    return tuple(words[start:end])
