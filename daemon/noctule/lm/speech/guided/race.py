"""The race of one utterance: its free text beside the sentences of the grammar, and how they compare.

What is left of the wake word may stand before the request. So the first k = 0, 1, … words of the free text are taken
as they are and the grammar begins behind them; the k whose sentence explains the rest best wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from noctule.core.errors import InputError, ModelError
from noctule.lm.speech.guided.search import BEAM, GuidedReading, GuidedSearch, Root, bare, prefixes
from noctule.lm.speech.moonshine.greedy import Transcription, greedy, most_tokens
from noctule.lm.speech.moonshine.model import EncodedUtterance
from noctule.lm.speech.moonshine.words import words_of

#: rows for a sound longer than so many seconds, whose sentences have more places to go wrong
_LONG, _WIDE = 2.5, 8
#: words of the free text that may stand before the request; what skipping one costs
SKIPPED, _PENALTY = 4, 0.75
#: steps of the free text in which a search may begin
_KEPT = 24
#: readings whose meaning is looked at: so many, and none this much less likely than the first
_READ, _FAR = 10, 9.0
#: a free text that is itself a sentence, and this sure of each word, needs no search
_SURE = -0.2


@dataclass(frozen=True)
class Candidate:
    """A request in the race. text: its likeliest wording; meaning: what it asks for, comparable; score: the natural
    logarithm of its probability a word; ratio: of its probability to that of the free text from there on; skipped:
    words of the free text before it."""

    text: str
    meaning: Hashable
    score: float
    ratio: float
    words: int
    skipped: int


@dataclass(frozen=True)
class Race:
    """runners: best first, at most one for each meaning, perhaps none."""

    free: Transcription
    free_text: str
    runners: tuple[Candidate, ...]

    @property
    def free_score(self) -> float:
        """Of the free text: log-probability a word."""
        return self.free.hypothesis.log_probability / max(1, len(bare(self.free_text).split()))


def run_race(
    utterance: EncodedUtterance,
    search: GuidedSearch,
    meaning: Callable[[str], Hashable | None],
    lead: float = 0.0,
    beam: int = BEAM,
) -> Race:
    """meaning: what a sentence asks for, None for nothing; lead: seconds of the sound in which the wake word may be,
    0 for none: only words that begin there may stand before the request."""
    free = greedy(utterance, keep=_KEPT)
    tokenizer = utterance.tokenizer
    text = tokenizer.decode(free.tokens)
    whole, words = free.hypothesis.log_probability, len(bare(text).split())
    known = meaning(text) if free.ended and words and whole / words > _SURE else None
    if known is not None:
        return Race(free, text, (Candidate(text, known, whole / words, 0.0, words, 0),))
    before = 0
    if lead > 0:
        before = sum(word.start < lead for word in words_of(free, tokenizer, utterance.seconds))
    ends = [0, *accumulate(free.log_probabilities)]
    roots = [
        Root(skipped, at, free.nodes[at], ends[at], free.ahead[at])
        for skipped, at in enumerate(prefixes(free.tokens, tokenizer, SKIPPED))
        if at < len(free.ahead) and skipped <= before
    ]
    if utterance.seconds > _LONG:
        beam = max(beam, _WIDE)
    try:
        readings = search(free.decoder, free.tokens, roots, most_tokens(utterance.seconds), beam) if roots else []
    except (InputError, ModelError):
        readings = []  # the slots beside a long sound are used up
    return Race(free, text, _runners(readings, meaning, whole, {root.skipped: root.score for root in roots}))


def _runners(
    readings: Sequence[GuidedReading],
    meaning: Callable[[str], Hashable | None],
    whole: float,
    before: Mapping[int, float],
) -> tuple[Candidate, ...]:
    """One for each meaning, best first: what asks for the same from the same place adds up ("5", "five"); of several
    places the best, where a word that is skipped must be earned."""
    together: dict[tuple[int, Hashable], tuple[float, GuidedReading]] = {}
    for reading in readings[:_READ]:
        far = reading.log_probability < readings[0].log_probability - _FAR
        what = None if far else meaning(reading.text)
        if what is not None:
            total, best = together.get((reading.skipped, what), (-math.inf, reading))
            together[reading.skipped, what] = (float(np.logaddexp(total, reading.log_probability)), best)
    best_of: dict[Hashable, Candidate] = {}
    for (skipped, what), (total, reading) in sorted(
        together.items(), key=lambda item: -(item[1][0] - _PENALTY * item[0][0])
    ):
        words = max(1, reading.words)
        score = (total - before[skipped]) / words
        best_of.setdefault(what, Candidate(reading.text, what, score, total - whole, words, skipped))
    return tuple(best_of.values())
