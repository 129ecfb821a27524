"""The words of one command as they are heard, without what is left of the wake word before them. Pure.

Listening begins a little before the wake word was decided, or a hasty speaker's first word would be lost; so a
recogniser may write the end of the wake word, too. Leading words are left out that sound like the wake phrase, or
that were over well before the wake word was decided.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word, confidence_of

#: seconds by which a wake word's decision may follow its end (measured: -0.2 to 0.2).
WAKE_LAG = 0.25
#: how alike a word must be to one of the wake phrase's to count as it.
_ALIKE = 0.7
#: a wording that is less likely beside the others is not looked at.
_LEAST_SHARE = 0.02


@dataclass(frozen=True)
class Wording:
    """What may have been said. share: how likely beside the other wordings, 1 for the only one; confidence: how sure
    the recogniser is of its words, None where it does not say."""

    text: str
    share: float = 1.0
    confidence: float | None = None


@dataclass(frozen=True)
class Spoken:
    """A command for the brain. wordings: what may have been said, the likeliest first, at least one.

    settle(index, sure): which wording is taken and how sure that is, None where the brain cannot tell; False when
    nothing is to be done because that is not sure enough. Called in the brain's thread, and only where there are
    several wordings.
    """

    wordings: tuple[Wording, ...]
    settle: Callable[[int, float | None], bool]


class Transcript:
    """phrase: what woke it, "" where nothing did; woken: seconds of the sound at which that was decided."""

    def __init__(self, phrase: str = "", woken: float = 0.0) -> None:
        self._said = phrase
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

    def ahead(self, guess: Sequence[Word]) -> Transcript:
        """The command as it would be if `guess` came true."""
        other = Transcript(self._said, self._woken)
        other.words, other.skipped = list(self.words), self.skipped
        for word in guess:
            other.add(word)
        return other

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

    def wordings(self, readings: Sequence[Reading] = ()) -> tuple[Wording, ...]:
        """What may have been said, by a recogniser's `readings` of the whole sound; without them, what was added.

        An empty text stands for "nothing was said".
        """
        shares: dict[str, float] = {}
        sure: dict[str, float | None] = {}
        for reading in readings:
            other = Transcript(self._said, self._woken)
            for word in reading.words:
                other.add(word)
            shares[other.text] = shares.get(other.text, 0.0) + reading.share
            sure.setdefault(other.text, other.confidence)
        whole = sum(shares.values())
        found = [Wording(text, share / whole, sure[text]) for text, share in shares.items() if whole > 0]
        found = sorted((w for w in found if w.share >= _LEAST_SHARE), key=lambda wording: -wording.share)
        return tuple(found) or (Wording(self.text, 1.0, self.confidence),)
