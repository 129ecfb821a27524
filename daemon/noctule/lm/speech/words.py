"""Words of a speech model's text stream: from tokens to timed words, and from a script to tokens. Pure.

The text stream of a Kyutai model says one token a frame: `text_padding` while nothing begins,
`end_of_text_padding` right before a word, then the word's pieces. A word's time is the frame at which it begins,
less the delay the model was trained with. Sources: Zeghidour et al., *Streaming Sequence-to-Sequence Learning with
Delayed Streams Modeling* (arXiv 2509.08753), section 3; `rust/moshi-core/src/asr.rs` in kyutai-labs/moshi for the
times, and `moshi/models/tts.py` for what a script may hold.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from noctule.core.errors import InputError


@dataclass(frozen=True)
class Word:
    """A word heard. start, end: seconds of the audio given; `end` is when the model had finished writing it;
    confidence: geometric mean of its tokens' probabilities, None where nobody said."""

    text: str
    start: float
    end: float
    confidence: float | None = None


def confidence_of(words: Iterable[Word]) -> float | None:
    """How sure a recogniser was of a whole command: the geometric mean over its words; None when it says nothing."""
    known = [word.confidence for word in words if word.confidence is not None]
    if not known:
        return None
    return math.exp(sum(math.log(max(one, 1e-9)) for one in known) / len(known))


class WordAssembler:
    """Collects the tokens of the text stream into words.

    decode: token ids → text; begins: whether a token's piece starts a word (a leading "▁"), for models that leave
    no padding between words; delay: seconds by which the text follows the audio.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        begins: Callable[[int], bool],
        *,
        padding: int,
        end_of_padding: int,
        silent: frozenset[int] = frozenset(),
        frame_rate: float = 12.5,
        delay: float = 0.0,
    ) -> None:
        self._decode, self._begins = decode, begins
        self._padding, self._marker = padding, end_of_padding
        self._silent = silent
        self._rate, self._delay = frame_rate, delay
        self.reset()

    def reset(self) -> None:
        self._pieces: list[int] = []
        self._sure: list[float] = []
        self._start = 0.0
        self._marked: float | None = None
        self._now = 0.0

    @property
    def open(self) -> bool:
        """Whether a word is being written."""
        return bool(self._pieces)

    def feed(self, token: int, frames: int, probability: float | None = None) -> Word | None:
        """One token of the text stream, written after `frames` frames of audio; the word it completes, if any."""
        self._now = max(0.0, frames / self._rate - self._delay)
        if token == self._marker:
            word = self._close()
            self._marked = self._now
            return word
        if token == self._padding or token < 0:
            return self._close()
        if token in self._silent:
            return None
        word = self._close() if self._pieces and self._begins(token) else None
        if not self._pieces:
            self._start = self._now if self._marked is None else self._marked
            self._marked = None
        self._pieces.append(token)
        if probability is not None:
            self._sure.append(math.log(max(probability, 1e-9)))
        return word

    def finish(self) -> Word | None:
        """The word still open at the end of the audio."""
        return self._close()

    def branch(self) -> WordAssembler:
        """One that stands where this one stands and goes its own way."""
        other = copy.copy(self)
        other._pieces, other._sure = list(self._pieces), list(self._sure)
        return other

    def _close(self) -> Word | None:
        if not self._pieces:
            return None
        text = self._decode(self._pieces).strip()
        sure = math.exp(sum(self._sure) / len(self._sure)) if self._sure else None
        self._pieces, self._sure = [], []
        return Word(text, self._start, max(self._now, self._start), sure) if text else None


@dataclass(frozen=True)
class Entry:
    """One thing to say: the word's tokens, or none for a pause; `padding`: frames of padding forced after it."""

    tokens: tuple[int, ...]
    text: str
    padding: int = 0


#: white space, or a pause as SSML writes it: <break time="0.5s"/>
_GAP = re.compile(r'<break\s+time="(\d+(?:\.\d*)?)s"\s*/?>|\s+')
#: signs the models were trained without
_REPLACED = str.maketrans({"\u2019": "'", ":": " ", "(": None, ")": None})
_LONGEST_BREAK = 60.0


def script_entries(
    turns: Sequence[str],
    encode: Callable[[str], list[int]],
    *,
    frame_rate: float = 12.5,
    speaker_tokens: Sequence[int] = (),
    padding_between: int = 0,
) -> list[Entry]:
    """The words and pauses of a script.

    turns: what each speaker says in turn; speaker_tokens: ids that announce the speakers, in rotation, empty for a
    model of one voice; padding_between: frames of padding between words, for clearer speech. Raises InputError when
    there is nothing to say.
    """
    entries: list[Entry] = []
    announced: int | None = None
    for index, turn in enumerate(turns):
        text = turn.translate(_REPLACED)
        at = 0
        fresh = True
        for gap in [*_GAP.finditer(text), None]:
            word = text[at : gap.start() if gap else len(text)]
            if word:
                tokens = encode(word)
                speaker = speaker_tokens[index % len(speaker_tokens)] if speaker_tokens else None
                if fresh and speaker is not None and speaker != announced:
                    tokens = [speaker, *tokens]
                    announced = speaker
                fresh = False
                padding = padding_between + len(tokens) - 1 if padding_between > 0 else 0
                entries.append(Entry(tuple(tokens), word, max(0, padding)))
            if gap is None:
                break
            if gap.group(1) is not None:
                seconds = float(gap.group(1))
                if seconds > _LONGEST_BREAK:
                    raise InputError(
                        f"a pause of {seconds:g} s is longer than the longest allowed, {_LONGEST_BREAK:g} s"
                    )
                entries.append(Entry((), "", round(seconds * frame_rate)))
            at = gap.end()
    if not any(entry.tokens for entry in entries):
        raise InputError("there is nothing to say in the text")
    return entries
