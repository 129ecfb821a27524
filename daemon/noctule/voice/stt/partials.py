"""When to read what has been said so far, and which of its words are shown. Pure.

A word is shown when two readings in a row have it in its place: a reading of half a sentence is often wrong at its
end. How often is read is bounded by the processor time it costs: so many seconds for each second of sound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from noctule.audio.chunk import RATE
from noctule.lm.speech.words import Word

#: seconds of sound before the first reading, and at least between two
_FIRST, _STEP = 0.6, 0.4


class Pace:
    """share: processor seconds that may be used for each second of sound, asked each time; 0 for no readings."""

    def __init__(self, share: Callable[[], float]) -> None:
        self._share = share
        self._spent = 0.0
        self._next = _FIRST

    def due(self, samples: int) -> bool:
        """Whether to read now that so many samples have been heard."""
        share, heard = self._share(), samples / RATE
        return share > 0 and heard >= self._next and self._spent <= share * heard

    def read(self, samples: int, seconds: float) -> None:
        """It was read, and cost so many processor seconds."""
        share, heard = self._share(), samples / RATE
        self._spent += seconds
        # the next one will cost as much: it waits until that, too, is within the share
        self._next = max(heard + _STEP, (self._spent + seconds) / share if share > 0 else heard)


class Agreement:
    """The words on which the last two readings agree, from the first on."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self.words: tuple[Word, ...] = ()

    def add(self, words: Sequence[Word]) -> None:
        """A further reading."""
        bare = [plain(word.text) for word in words]
        count = 0
        while count < min(len(bare), len(self._last)) and bare[count] == self._last[count]:
            count += 1
        self._last, self.words = bare, tuple(words[:count])


def plain(text: str) -> str:
    """A word without what punctuation and case add: those change from reading to reading."""
    return re.sub(r"[^\w']", "", text.lower())
