"""What listens in while the model writes: how sure it is. L3."""

from __future__ import annotations

from typing import Any

import numpy as np

from noctule.lm.grammar import GrammarConstraint


class FirstChoice:
    """Probability of the first token the model chose, among those the grammar allowed."""

    def __init__(self) -> None:
        self.constraint: GrammarConstraint | None = None
        self.probability = 1.0
        self._seen = False

    def __call__(self, logits: Any) -> None:
        if self._seen or self.constraint is None:
            return
        self._seen = True
        allowed = np.asarray(logits, dtype=np.float64)[self.constraint.mask()]
        self.probability = float(1.0 / np.exp(allowed - allowed.max()).sum())
