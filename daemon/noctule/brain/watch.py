"""What listens in while the model writes: how sure it is. L3."""

from __future__ import annotations

from typing import Any

import numpy as np

from noctule.lm.grammar import GrammarConstraint


class Certainty:
    """Probabilities of what the model chose greedily, among what the grammar allowed.

    first: of the first token, which names the action; whole: of all tokens together, the arguments' among them.
    """

    def __init__(self) -> None:
        self.constraint: GrammarConstraint | None = None
        self.first = 1.0
        self.whole = 1.0
        self._seen = False

    def __call__(self, logits: Any) -> None:
        if self.constraint is None:
            return
        mask = self.constraint.mask()
        if len(mask) > 1:
            allowed = np.asarray(logits, dtype=np.float64)[mask]
            self.whole *= float(1.0 / np.exp(allowed - allowed.max()).sum())
        if not self._seen:
            self._seen = True
            self.first = self.whole
