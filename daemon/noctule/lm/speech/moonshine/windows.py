"""Sound of any length: windows that fit the model, joined without lost or doubled words.

A window ends in the longest pause of its last part, and the next one begins there. Where nobody pauses, the next one
begins some seconds before the end, and the two are joined where they agree: at the words that both wrote for the same
time (longest common run), else in the middle of what they share.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from noctule.lm.speech.moonshine.belief import doubt, silent
from noctule.lm.speech.moonshine.greedy import greedy
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.moonshine.rows import FloatArray
from noctule.lm.speech.moonshine.shape import RATE
from noctule.lm.speech.moonshine.words import words_of
from noctule.lm.speech.words import Word

#: seconds two windows share where nobody pauses, and seconds of the shortest window that a pause may end
_SHARED, _SHORTEST = 3.0, 5.0
#: a pause: this many blocks of 20 ms, quieter than the window's loud part by so many decibels
_BLOCK, _PAUSE, _BELOW = RATE // 50, 10, 25.0


#: the model for a while, and back: other users get it between two windows
Held = AbstractContextManager[MoonshineModel]


def transcribe(
    held: Callable[[], Held],
    blocks: Iterable[FloatArray],
    longest: float,
    told: Callable[[float], None] | None = None,
) -> Iterator[list[Word]]:
    """Words of sound that comes in blocks of float32 [n], 16 kHz mono; a list for each window, in order.

    longest: seconds of a window; told: called with the seconds that are done. Memory is bounded by two windows.
    """
    window, most = np.zeros(0, np.float32), int(longest * RATE)
    begins = 0  # number of the window's first sample
    joint, source, ended = _Joint(), iter(blocks), False
    while True:
        while not ended and len(window) <= most:
            block = next(source, None)
            ended = block is None
            if block is not None:
                window = np.concatenate([window, block.astype(np.float32, copy=False)])
        if not len(window):
            return
        cut, shared = (len(window), 0) if len(window) <= most else _cut(window[:most])
        words = _heard(held, window[:cut], begins / RATE)
        step = cut - shared
        yield joint.add(words, (begins + step) / RATE, last=not shared)
        window, begins = window[step:], begins + step
        if told is not None:
            told(begins / RATE)


def _heard(held: Callable[[], Held], pcm: FloatArray, offset: float) -> list[Word]:
    if silent(pcm):
        return []
    with held() as model:
        utterance = model.encode(pcm)
        found = greedy(utterance)
        text = model.tokenizer.decode(found.tokens)
        why = doubt(text, found)
        # of a long recording what came before a loop is kept, and so is speech that has no end yet
        if why not in (None, "loop", "unended"):
            return []
        return words_of(found, model.tokenizer, utterance.seconds, offset)


def _cut(window: FloatArray) -> tuple[int, int]:
    """Where a full window ends, and how much of it the next one hears again."""
    blocks = len(window) // _BLOCK
    power = (window[: blocks * _BLOCK].reshape(blocks, _BLOCK).astype(np.float64) ** 2).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    quiet = level < np.percentile(level, 90) - _BELOW
    best, run, at = 0, 0, 0
    for i in range(int(_SHORTEST * RATE) // _BLOCK, blocks):
        run = run + 1 if quiet[i] else 0
        if run >= _PAUSE and run >= best:
            best, at = run, i + 1 - run // 2
    if best:
        return at * _BLOCK, 0
    return len(window), int(_SHARED * RATE)


class _Joint:
    """Words that are certain go out; those in the part that the next window hears again wait for it."""

    def __init__(self) -> None:
        self._waiting: list[Word] = []

    def add(self, words: list[Word], certain: float, *, last: bool) -> list[Word]:
        """words of a window. Those that begin before `certain` go out; last: all of them, nothing is heard again."""
        joined = _join(self._waiting, words) if self._waiting else words
        out = joined if last else [word for word in joined if word.start < certain]
        self._waiting = joined[len(out) :]
        return out


def _join(before: list[Word], after: list[Word]) -> list[Word]:
    """`before`: words in the shared part as the earlier window heard them; `after`: all words of the later window."""
    if not after:
        return before
    first, second = [_bare(word) for word in before], [_bare(word) for word in after]
    end = before[-1].end
    reach = sum(word.start < end + 1.0 for word in after)
    match = difflib.SequenceMatcher(None, first, second[:reach], autojunk=False).find_longest_match()
    if match.size:
        # up to the middle of the run by the earlier window, whose end is the uncertain part, then by the later one
        middle = (match.size + 1) // 2
        return before[: match.a + middle] + after[match.b + middle :]
    at = (before[0].start + end) / 2
    return [word for word in before if word.start < at] + [word for word in after if word.start >= at]


def _bare(word: Word) -> str:
    return re.sub(r"[^\w']", "", word.text.lower())
