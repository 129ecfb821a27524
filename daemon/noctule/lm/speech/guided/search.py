"""A beam that stays inside what can be asked.

Every row is a text that the token automaton allows; a text that differs in case and punctuation alone counts as the
same, and its ways of being written add up. A score is the logarithm of a probability a word: it tells what was said
from what the grammar had to make of other sound, and the difference to the free text's own tells the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noctule.lm.speech.guided.tokens import Tokens, TokenState
from noctule.lm.speech.moonshine.rows import FloatArray, RowDecoder
from noctule.lm.speech.moonshine.tokenizer import MoonshineTokenizer

#: rows followed at once; log-probability by which the best row may fall behind the best sentence
BEAM, _BEHIND = 4, 3.0
#: what a word costs that only a slot for any words takes: every sound is some words
_ANY_WORD = 1.0


@dataclass(frozen=True)
class GuidedReading:
    """A sentence of the grammar. text: as the recogniser would write it; words: how many; log_probability: natural,
    of all its ways of being written together, with the words that were skipped before it; skipped: how many."""

    text: str
    words: int
    log_probability: float
    skipped: int


@dataclass(frozen=True)
class Root:
    """A beginning: the grammar's first token follows node `parent` and `depth` tokens of free text, `skipped` words,
    whose log-probability is `score`; ahead: log-probabilities of what may follow them [vocab]."""

    skipped: int
    depth: int
    parent: int
    score: float
    ahead: FloatArray


@dataclass
class _Row:
    """A text that is followed. states: (words skipped before the grammar began, where the grammar is)."""

    states: tuple[tuple[int, TokenState], ...]
    score: float
    parent: int
    tokens: tuple[int, ...]


@dataclass
class _Found:
    total: float
    best: float
    text: str


def bare(text: str) -> str:
    """Words in lower case without punctuation: what two ways of writing the same have in common."""
    return " ".join(re.findall(r"%|\d+(?:[.:]\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*", text.lower()))


class GuidedSearch:
    """tokens: of the grammar; tokenizer: of the recogniser."""

    def __init__(self, tokens: Tokens, tokenizer: MoonshineTokenizer) -> None:
        self._tokens, self._tokenizer = tokens, tokenizer

    def __call__(
        self, decoder: RowDecoder, tokens: Sequence[int], roots: Sequence[Root], most: int, beam: int = BEAM
    ) -> list[GuidedReading]:
        """The likeliest sentences, best first; none where nothing fits into `most` tokens. tokens: the free text that
        the roots begin in."""
        begin = self._tokens.begin()
        live: list[_Row] = []
        found: dict[tuple[int, str], _Found] = {}
        depth, last = 0, max(root.depth for root in roots)
        while depth < most and (live or depth <= last):
            ahead: dict[tuple[int, ...], _Row] = {}
            if live:
                if decoder.room < len(live):
                    break
                scores, nodes = decoder.step(
                    [row.tokens[-1] for row in live], [row.parent for row in live], [depth] * len(live)
                )
                for at, row in enumerate(live):
                    self._end(found, row, float(scores[at, self._tokenizer.eos]), tokens)
                    self._go_on(ahead, row.tokens, row.states, row.score, nodes[at], scores[at], beam)
            for root in roots:
                if root.depth == depth:
                    states = ((root.skipped, begin),)
                    self._go_on(ahead, tuple(tokens[:depth]), states, root.score, root.parent, root.ahead, beam)
            # the cache must last to the end of a sentence about as long as the free text
            left = max(4, len(tokens) + 4 - depth)
            live = _kept(ahead.values(), max(2, min(beam, decoder.room // left)))
            best = max((item.total for item in found.values()), default=-math.inf)
            if depth > last and live and live[0].score < best - _BEHIND:
                break
            depth += 1
        readings = [
            GuidedReading(item.text, len(key.split()), item.total, skipped) for (skipped, key), item in found.items()
        ]
        return sorted(readings, key=lambda reading: (-reading.log_probability, reading.skipped))

    def _end(self, found: dict[tuple[int, str], _Found], row: _Row, end: float, free: Sequence[int]) -> None:
        """The row as a whole sentence, for each beginning from which it is one."""
        score = row.score + end
        for skipped, state in row.states:
            if not state.final:
                continue
            text = " ".join(self._tokenizer.decode(row.tokens).split()[skipped:])
            known = found.setdefault((skipped, bare(text)), _Found(-math.inf, -math.inf, text))
            known.total = float(np.logaddexp(known.total, score))
            if score > known.best:
                known.best, known.text = score, text

    def _go_on(
        self,
        ahead: dict[tuple[int, ...], _Row],
        said: tuple[int, ...],
        states: tuple[tuple[int, TokenState], ...],
        score: float,
        parent: int,
        scores: FloatArray,
        beam: int,
    ) -> None:
        """The likeliest tokens that may follow; the same text from two beginnings is one row."""
        for skipped, state in states:
            for token, after in self._next(state, scores, beam):
                text = (*said, token)
                row = ahead.get(text)
                if row is None:
                    worth = score + float(scores[token]) - (_ANY_WORD if self._tokens.any_word(after, token) else 0.0)
                    row = ahead[text] = _Row((), worth, parent, text)
                if (skipped, after) not in row.states:
                    row.states = (*row.states, (skipped, after))

    def _next(self, state: TokenState, scores: FloatArray, beam: int) -> list[tuple[int, TokenState]]:
        """The likeliest tokens that may follow, with their states."""
        listed = self._tokens.choices(state)
        tokens: NDArray[np.int64] = _best(np.array(listed, np.int64), scores, beam)
        if self._tokens.free(state):
            likely = np.argpartition(-scores, 2 * beam)[: 2 * beam]
            tokens = np.unique(np.concatenate([tokens, likely.astype(np.int64)]))
        pairs = ((int(token), self._tokens.step(state, int(token))) for token in tokens)
        return [(token, after) for token, after in pairs if after is not None]


def _kept(rows: Iterable[_Row], beam: int) -> list[_Row]:
    """The likeliest rows; those inside a slot for any words, which follow every sound, at most half of them."""
    kept: list[_Row] = []
    free = 0
    for row in sorted(rows, key=lambda row: -row.score):
        anything = all(trie is None for _, state in row.states for _, trie in state.places) and any(
            state.places for _, state in row.states
        )
        free += anything
        if not anything or free <= beam // 2:
            kept.append(row)
            if len(kept) == beam:
                break
    return kept


def _best(tokens: NDArray[np.int64], scores: FloatArray, count: int) -> NDArray[np.int64]:
    if len(tokens) <= count:
        return tokens
    return tokens[np.argpartition(-scores[tokens], count)[:count]]


def prefixes(tokens: Sequence[int], tokenizer: MoonshineTokenizer, most: int = 4) -> list[int]:
    """How many tokens the first 0, 1, 2, … words of a text have, up to `most` words, the whole text left out."""
    begins = [at for at, token in enumerate(tokens) if at == 0 or tokenizer.begins_word(token)]
    return [at for at in begins if at < len(tokens)][: most + 1]
