"""What a text-to-speech model reads on its text stream, frame by frame. Pure.

The model itself decides when the next word begins: at every frame it predicts "a word begins" or "padding", and the
feed answers with the token to read next: a piece of the current word, padding, or the mark of a new word. Models
with a second text stream also see the words ahead of the current one.

The law is that of Delayed Streams Modeling (arXiv 2509.08753, section 3.2) as `moshi/models/tts.py` in
kyutai-labs/moshi states it; a test runs both side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from noctule.lm.speech.streams import ZERO
from noctule.lm.speech.words import Entry


@dataclass(frozen=True)
class FeedRules:
    """new_word, padding: token ids of the two marks; text_rows: text_card + 1, the base in which two streams are
    packed into one token; ahead: how many words the second stream looks ahead, 0 for a model without one;
    max_padding: most frames of padding after a word; initial_padding: frames before the first word."""

    new_word: int
    padding: int
    text_rows: int
    ahead: int = 0
    max_padding: int = 8
    initial_padding: int = 2


class TextFeed:
    """The state of one text. `more` may be called while it runs; `close` says that the text is complete."""

    def __init__(self, rules: FeedRules, entries: Iterable[Entry] = (), *, complete: bool = True) -> None:
        self.rules = rules
        self._entries: deque[Entry] = deque(entries)
        self._complete = complete
        self._pieces: deque[int] = deque()
        self._pieces_ahead: deque[int] = deque()
        self._may_pad = rules.initial_padding
        self._must_pad = rules.initial_padding
        #: step at which the model asked for a word after the last one; None while there is text.
        self.end_step: int | None = None
        #: (word, step) of each word begun.
        self.transcript: list[tuple[str, int]] = []

    def more(self, entries: Iterable[Entry]) -> None:
        """Words to say after those already given."""
        self._entries.extend(entries)

    def close(self) -> None:
        self._complete = True

    @property
    def hungry(self) -> bool:
        """More text is needed before a further word can begin: stepping on would only make a pause."""
        if self._complete or self._pieces or self._must_pad > 0:
            return False
        return len(self._entries) <= self.rules.ahead

    def next(self, step: int, predicted: int) -> int:
        """The token the model reads next, given what it predicted at `step`.

        With a second stream the answer packs both: (second + 1) * text_rows + first, second being ZERO for none.
        """
        rules = self.rules
        starved = not self._complete and len(self._entries) <= rules.ahead
        if self._pieces or self._must_pad > 0 or starved:
            wants_word = False
        else:
            wants_word = predicted == rules.new_word or self._may_pad <= 0
        mark = self._begin_word(step) if wants_word else False
        if mark:
            first = rules.new_word
        else:
            self._may_pad = max(0, self._may_pad - 1)
            self._must_pad = max(0, self._must_pad - 1)
            first = self._pieces.popleft() if self._pieces else rules.padding
        return self._pack(first) if rules.ahead else first

    def _begin_word(self, step: int) -> bool:
        """Take the next entry. True when the mark of a new word is to be read."""
        if not self._entries:
            last = self.end_step is None
            if last:
                self.end_step = step
            return last and self.rules.ahead > 0
        entry = self._entries.popleft()
        self._must_pad = entry.padding
        if not entry.tokens:
            return False
        self.transcript.append((entry.text, step))
        self._pieces.extend(entry.tokens)
        self._pieces_ahead.extend(self._look_ahead())
        self._may_pad = self.rules.max_padding
        return True

    def _look_ahead(self) -> tuple[int, ...]:
        """Tokens of the word `ahead` words further on."""
        spoken = [entry.tokens for entry in self._entries if entry.tokens]
        ahead = self.rules.ahead
        return spoken[ahead - 1] if 0 < ahead <= len(spoken) else ()

    def _pack(self, first: int) -> int:
        second = ZERO
        if first == self.rules.new_word:
            # the mark moves to the second stream, which leaves the first one free for a piece of the word
            second = first
            first = self._pieces.popleft() if self._pieces else self.rules.padding
        elif self._pieces_ahead:
            second = self._pieces_ahead.popleft()
        return (second + 1) * self.rules.text_rows + first
