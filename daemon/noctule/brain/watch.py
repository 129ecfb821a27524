"""What listens in while the model writes: its confidence, and the reply word by word. L3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from noctule.actions.format import CallFormat
from noctule.actions.registry import Spec, fill
from noctule.lm.grammar import Automaton, GrammarConstraint


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


class ReplyStream(GrammarConstraint):
    """The constraint of a reply, which hands on each word as soon as it is certain."""

    def __init__(
        self,
        automaton: Automaton,
        form: CallFormat,
        spec: Spec,
        fields: Mapping[str, str],
        on_delta: Callable[[str], None],
    ) -> None:
        super().__init__(automaton)
        self._form = form
        self._spec = spec
        self._fields = fields
        self._on_delta = on_delta
        self.said = ""

    def advance(self, token: int) -> None:
        """Take the token; say what it completes."""
        super().advance(token)
        text = fill(self._form.read_reply(self.tokens, self._spec), self._fields)
        if len(text) > len(self.said):
            self._on_delta(text[len(self.said) :])
            self.said = text
