"""A beam that stays inside what can be asked.

Every row is a text that the token automaton allows; a text that differs in case and punctuation alone counts as the
same, and its ways of being written add up. A score is the logarithm of a probability a word: it tells what was said
from what the grammar had to make of other sound, and the difference to the free text's own tells the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noctule.lm.speech.guided.tokens import Tokens, TokenState
from noctule.lm.speech.moonshine.rows import FloatArray, RowDecoder
from noctule.lm.speech.moonshine.tokenizer import MoonshineTokenizer

#: rows followed at once; log-probability by which the best row may fall behind the best sentence
BEAM, _BEHIND = 4, 3.0


@dataclass(frozen=True)
class GuidedReading:
    """A sentence of the grammar. text: as the recogniser would write it; words: how many; log_probability: natural,
    of all its ways of being written together."""

    text: str
    words: int
    log_probability: float

    @property
    def score(self) -> float:
        """Log-probability a word."""
        return self.log_probability / max(1, self.words)


@dataclass(frozen=True)
class Root:
    """Where a search begins: the token that is fed first, as a child of node `parent`, at `position`."""

    token: int
    parent: int = -1
    position: int = 0


@dataclass
class _Row:
    state: TokenState
    score: float
    token: int
    parent: int
    position: int
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

    def __call__(self, decoder: RowDecoder, root: Root, most: int, beam: int = BEAM) -> list[GuidedReading]:
        """The likeliest sentences, best first; none where nothing fits into `most` tokens."""
        live = [_Row(self._tokens.begin(), 0.0, root.token, root.parent, root.position, ())]
        found: dict[str, _Found] = {}
        for _ in range(most):
            if not live or decoder.room < len(live):
                break
            scores, nodes = decoder.step(
                [row.token for row in live], [row.parent for row in live], [row.position for row in live]
            )
            ahead: list[tuple[float, int, int, TokenState]] = []
            for at, row in enumerate(live):
                if row.state.final:
                    self._end(found, row, float(scores[at, self._tokenizer.eos]))
                for token, state in self._next(row.state, scores[at], beam):
                    ahead.append((row.score + float(scores[at, token]), at, token, state))
            ahead.sort(key=lambda item: -item[0])
            live = [
                _Row(state, score, token, nodes[at], live[at].position + 1, (*live[at].tokens, token))
                for score, at, token, state in ahead[:beam]
            ]
            best = max((item.total for item in found.values()), default=-math.inf)
            if live and live[0].score < best - _BEHIND:
                break
        readings = [GuidedReading(item.text, len(key.split()), item.total) for key, item in found.items()]
        return sorted(readings, key=lambda reading: -reading.log_probability)

    def _end(self, found: dict[str, _Found], row: _Row, end: float) -> None:
        text, score = self._tokenizer.decode(row.tokens), row.score + end
        known = found.get(bare(text))
        if known is None:
            found[bare(text)] = _Found(score, score, text)
            return
        known.total = float(np.logaddexp(known.total, score))
        if score > known.best:
            known.best, known.text = score, text

    def _next(self, state: TokenState, scores: FloatArray, beam: int) -> list[tuple[int, TokenState]]:
        """The likeliest tokens that may follow, with their states."""
        listed = self._tokens.choices(state)
        tokens: NDArray[np.int64] = _best(np.array(listed, np.int64), scores, beam)
        if self._tokens.free(state):
            likely = np.argpartition(-scores, 2 * beam)[: 2 * beam]
            tokens = np.unique(np.concatenate([tokens, likely.astype(np.int64)]))
        pairs = ((int(token), self._tokens.step(state, int(token))) for token in tokens)
        return [(token, after) for token, after in pairs if after is not None]


def _best(tokens: NDArray[np.int64], scores: FloatArray, count: int) -> NDArray[np.int64]:
    if len(tokens) <= count:
        return tokens
    return tokens[np.argpartition(-scores[tokens], count)[:count]]


def prefixes(tokens: Sequence[int], tokenizer: MoonshineTokenizer, most: int = 4) -> list[int]:
    """How many tokens the first 0, 1, 2, … words of a text have, up to `most` words, the whole text left out."""
    begins = [at for at, token in enumerate(tokens) if at == 0 or tokenizer.begins_word(token)]
    return [at for at in begins if at < len(tokens)][: most + 1]
