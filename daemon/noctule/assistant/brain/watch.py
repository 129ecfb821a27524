"""What listens in while the model writes: how sure it is, and what other readers add to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from noctule.lm.grammar import GrammarConstraint


class FirstChoice:
    """Probability of the first token that is chosen, among those the grammar allowed.

    opinion: token -> log probabilities of other readers, added up, which are added to the model's first logits;
    others: how many readers these are. All have learned from the same requests, so their product is far too sure of
    itself; the probability is that of their geometric mean (a logarithmic opinion pool: C. Genest and J. Zidek 1986,
    Combining Probability Distributions). Which token comes first is the same by both.
    """

    def __init__(self, opinion: Mapping[int, float] | None = None, others: int = 0) -> None:
        self.constraint: GrammarConstraint | None = None
        self.probability = 1.0
        self._opinion = dict(opinion or {})
        self._others = others
        self._seen = False

    def __call__(self, logits: Any) -> None:
        if self._seen or self.constraint is None:
            return
        self._seen = True
        for token, more in self._opinion.items():
            logits[token] += more
        allowed = np.asarray(logits, dtype=np.float64)[self.constraint.mask()]
        self.probability = float(1.0 / np.exp((allowed - allowed.max()) / (1 + self._others)).sum())
