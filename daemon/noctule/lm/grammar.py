"""Grammars as automata over token ids, and the constraint that keeps a language model inside one. Pure.

An `Automaton` is built from paths of tokens between numbered states. `GrammarConstraint` walks it: the tokens that
leave the current states are the only ones the sampler may choose, so what comes out is a sentence of the grammar
whatever the model prefers. Text is put in by encoding it with the model's tokenizer first: one spelling, one token
sequence, which keeps the state sets small and the output canonical.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError


class Automaton:
    """A nondeterministic automaton without empty moves. State 0 is the start; several paths may share states."""

    def __init__(self) -> None:
        self._edges: list[dict[int, list[int]]] = [{}]
        self._final: set[int] = set()
        # States inside a path. Nobody outside `path` knows their numbers, so later paths may share them.
        self._inner: set[int] = set()

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self._edges)

    def state(self) -> int:
        """A new state."""
        self._edges.append({})
        return len(self._edges) - 1

    def path(self, start: int, tokens: Sequence[int], end: int | None = None) -> int:
        """Let `tokens` (at least one) lead from `start` to `end` (a new state if None); returns the end.

        Where a path with the same first tokens already leaves `start`, its states are shared.
        """
        if not tokens:
            raise ValueError("a path needs at least one token")
        here = start
        for token in tokens[:-1]:
            onward = [state for state in self._edges[here].get(token, []) if state in self._inner]
            if onward:
                here = onward[0]
            else:
                after = self.state()
                self._edges[here].setdefault(token, []).append(after)
                self._inner.add(after)
                here = after
        last = self.state() if end is None else end
        targets = self._edges[here].setdefault(tokens[-1], [])
        if last not in targets:
            targets.append(last)
        return last

    def accept(self, state: int) -> None:
        """Mark `state` as an end of the output."""
        self._final.add(state)

    def step(self, states: Iterable[int], token: int) -> frozenset[int]:
        """Where `token` leads from any of `states`."""
        return frozenset(after for state in states for after in self._edges[state].get(token, ()))

    def tokens(self, states: Iterable[int]) -> NDArray[np.int32]:
        """The tokens that leave `states`, ascending, int32."""
        return np.array(sorted({token for state in states for token in self._edges[state]}), dtype=np.int32)

    def accepts(self, states: Iterable[int]) -> bool:
        """True when one of `states` is an end."""
        return not self._final.isdisjoint(states)

    def check(self) -> int:
        """Length in tokens of the longest output. ValueError for a dead end, a loop or an unreachable end.

        The action grammars are finite, so every output ends; this is what proves it.
        """
        longest: dict[int, int] = {}
        entered: set[int] = set()
        stack = [(0, False)]
        while stack:
            state, left = stack.pop()
            if left:
                onward = [longest[after] + 1 for targets in self._edges[state].values() for after in targets]
                if not onward and state not in self._final:
                    raise ValueError(f"state {state} of the grammar is a dead end")
                longest[state] = max(onward, default=0)
                continue
            if state in longest:
                continue
            if state in entered:
                raise ValueError(f"state {state} of the grammar is in a loop")
            entered.add(state)
            stack.append((state, True))
            for targets in self._edges[state].values():
                for after in targets:
                    if after in entered and after not in longest:
                        raise ValueError(f"state {after} of the grammar is in a loop")
                    if after not in longest:
                        stack.append((after, False))
        return longest[0]


class GrammarConstraint:
    """A walk through an automaton: implements `noctule.lm.constraint.Constraint`."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._states: frozenset[int] = frozenset([0])
        #: what was generated so far
        self.tokens: list[int] = []

    def mask(self) -> NDArray[np.int32]:
        """Ids of the tokens allowed next."""
        return self._automaton.tokens(self._states)

    def advance(self, token: int) -> None:
        """Take `token`; ModelError when the grammar does not allow it here."""
        after = self._automaton.step(self._states, int(token))
        if not after:
            raise ModelError(f"token {token} is not allowed by the grammar after {len(self.tokens)} tokens")
        self._states = after
        self.tokens.append(int(token))

    def done(self) -> bool:
        """True at an end that nothing can follow."""
        return self._automaton.accepts(self._states) and not len(self._automaton.tokens(self._states))
