"""A request as words. Pure.

People type "Set a 5-minute Pasta timer, please!" and recognisers hear "set a five minute pasta timer please".
Both become the same kind of word list: lower case, digits apart from letters, no punctuation. Each word remembers
where it stood, so that an answer can quote the person's own spelling.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

# A number with its decimals, or a run of letters with inner apostrophes, or a lone percent sign. Everything else
# separates words. Marks (category M) belong to their letter.
_WORD = re.compile(r"\d+(?:[.:]\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)*|%")
_SAME = {"’": "'", "ʼ": "'", "`": "'"}


@dataclass(frozen=True)
class RequestWord:
    """text: as the model and the parsers read it; start, end: where it stands in the original string."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Request:
    """original: what came in; words: how it is read."""

    original: str
    words: tuple[RequestWord, ...]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The words' texts alone."""
        return tuple(word.text for word in self.words)

    @cached_property
    def plain(self) -> str:
        """The words joined by single spaces: what the model reads."""
        return " ".join(self.texts)

    def quote(self, start: int, end: int) -> str:
        """Words start..end (end excluded) in the person's own spelling."""
        return self.original[self.words[start].start : self.words[end - 1].end]


def read(text: str) -> Request:
    """Split `text` into words. Compatibility forms (full-width letters, ligatures) are folded to plain ones."""
    # Fold character by character so that positions in the original stay known.
    folded: list[str] = []
    origin: list[int] = []
    for index, character in enumerate(text):
        for piece in unicodedata.normalize("NFKC", _SAME.get(character, character)).casefold():
            folded.append(piece)
            origin.append(index)
    words = []
    for match in _WORD.finditer("".join(folded)):
        word = match.group().replace("’", "'")
        words.append(
            RequestWord("percent" if word == "%" else word, origin[match.start()], origin[match.end() - 1] + 1)
        )
    return Request(text, tuple(words))
