"""The words of one command as they are heard, without what is left of the wake word before them. L3; pure.

Listening begins a little before the wake word was decided, or a hasty speaker's first word would be lost; so a
recogniser may write the end of the wake word, too. Leading words are left out that sound like the wake phrase, or
that were over well before the wake word was decided.
"""

from __future__ import annotations

import difflib
import re

from noctule.lm.stt import EndOfTurn
from noctule.lm.words import Word, confidence_of

#: seconds by which a wake word's decision may follow its end (measured: -0.2 to 0.2).
WAKE_LAG = 0.25
#: how alike a word must be to one of the wake phrase's to count as it.
_ALIKE = 0.7


class Command:
    """phrase: what woke it, "" where nothing did; woken: seconds of the sound at which that was decided."""

    def __init__(self, phrase: str = "", woken: float = 0.0) -> None:
        self._phrase = re.findall(r"[a-z']+", phrase.lower())
        self._woken = woken
        self.words: list[Word] = []
        #: leading words that were left out
        self.skipped = 0

    def add(self, item: Word | EndOfTurn) -> bool:
        """Take what a recogniser says; True when it is a further word of the command."""
        if isinstance(item, EndOfTurn):
            return False
        if not self.words and self._of_the_wake_word(item):
            self.skipped += 1
            return False
        self.words.append(item)
        return True

    def _of_the_wake_word(self, word: Word) -> bool:
        if not self._phrase:
            return False
        if word.end > word.start and word.end < self._woken - WAKE_LAG:
            return True
        bare = re.sub(r"[^a-z']", "", word.text.lower())
        if word.start > self._woken + 0.5 or self.skipped >= len(self._phrase):
            return False
        return any(difflib.SequenceMatcher(None, bare, own).ratio() >= _ALIKE for own in self._phrase)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float | None:
        """How sure the recogniser was; None when it does not say."""
        return confidence_of(self.words)
