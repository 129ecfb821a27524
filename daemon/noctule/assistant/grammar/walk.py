"""Walking a network word by word: the places one can be at are one state, and states are made when they are reached.

The subset construction (Rabin and Scott, 1959), done lazily, over a network with calls: a place inside a called
network knows the state it returns to, and equal places with different returns are told apart by those alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from noctule.assistant.grammar.network import ACCEPT, ANY, CALL, FORK, RETURN, WORD, Network

#: (node, state to return to; -1 at the top)
Item = tuple[int, int]
#: states that are kept between two walks
_MOST_STATES = 30_000
#: places that are looked at to see whether a sentence is over
_MOST_AHEAD = 3000


class _State:
    __slots__ = ("accepts", "any", "moves")

    def __init__(self, moves: Mapping[str, frozenset[Item]], anything: frozenset[Item], accepts: bool) -> None:
        self.moves, self.any, self.accepts = moves, anything, accepts


class Walker:
    """A network from a node on. States are numbers; `begin` may forget all of them, so none outlives a walk."""

    def __init__(self, network: Network, start: int) -> None:
        self._nodes, self._entries, self._start = network.nodes, network.entries, start
        self._forget()

    def _forget(self) -> None:
        self._kernels: list[frozenset[Item]] = []
        self._numbers: dict[frozenset[Item], int] = {}
        self._states: dict[int, _State] = {}
        self._steps: dict[tuple[int, str], int | None] = {}
        #: goes up when all states were forgotten
        self.generation = getattr(self, "generation", 0) + 1

    def begin(self) -> int:
        """The state before the first word."""
        if len(self._kernels) > _MOST_STATES:
            self._forget()
        return self._number(frozenset({(self._start, -1)}))

    def _number(self, kernel: frozenset[Item]) -> int:
        found = self._numbers.get(kernel)
        if found is None:
            found = self._numbers[kernel] = len(self._kernels)
            self._kernels.append(kernel)
        return found

    def words(self, state: int) -> Collection[str]:
        """The words that may follow, those of slots that take any word aside."""
        return self._state(state).moves.keys()

    def step(self, state: int, word: str) -> int | None:
        """The state after a word; None where nothing goes on with it."""
        key = (state, word)
        if key not in self._steps:
            here = self._state(state)
            after = here.moves.get(word, frozenset()) | here.any
            self._steps[key] = self._number(after) if after else None
        return self._steps[key]

    def anything(self, state: int) -> int | None:
        """The state after a word that only a slot for any words takes; None where there is none."""
        after = self._state(state).any
        return self._number(after) if after else None

    def accepts(self, state: int) -> bool:
        """Whether a sentence may end here."""
        return self._state(state).accepts

    def settled(self, state: int) -> bool:
        """Whether a sentence may end here, and whatever could still follow would mean the same: every end that can be
        reached is of one meaning, and no slot stands before it."""
        if not self.accepts(state):
            return False
        meanings: set[int] = set()
        work, seen = list(self._kernels[state]), set(self._kernels[state])
        while work:
            at, back = work.pop()
            node = self._nodes[at]
            after: list[Item] = []
            if node.kind == ACCEPT:
                meanings.add(node.meaning)
            elif node.kind == FORK:
                after = [(target, back) for target in node.targets]
            elif node.kind == RETURN:
                after = list(self._kernels[back])
            elif node.slot is not None or node.kind == ANY or back >= 0:
                return False  # a slot would follow, or goes on
            else:
                after = [(node.next, back)]
            for item in after:
                if item not in seen:
                    seen.add(item)
                    work.append(item)
            if len(meanings) > 1 or len(seen) > _MOST_AHEAD:
                return False
        return True

    def _state(self, number: int) -> _State:
        found = self._states.get(number)
        if found is None:
            found = self._states[number] = self._close(self._kernels[number])
        return found

    def _close(self, kernel: frozenset[Item]) -> _State:
        nodes = self._nodes
        work, seen = list(kernel), set(kernel)
        moves: dict[str, set[Item]] = {}
        anything: set[Item] = set()
        calls: dict[int, set[Item]] = {}
        accepts = False

        def reach(item: Item) -> None:
            if item not in seen:
                seen.add(item)
                work.append(item)

        while work or calls:
            if not work:
                # of the networks called, the last one was built after those it calls: all its callers are known
                network = max(calls)
                reach((self._entries[network], self._number(frozenset(calls.pop(network)))))
                continue
            item = work.pop()
            at, back = item
            node = nodes[at]
            if node.kind == WORD:
                moves.setdefault(node.word, set()).add((node.next, back))
            elif node.kind == FORK:
                for target in node.targets:
                    reach((target, back))
            elif node.kind == CALL:
                calls.setdefault(node.network, set()).add((node.next, back))
            elif node.kind == ANY:
                anything.add((node.next, back))
            elif node.kind == RETURN:
                for outer in self._kernels[back]:
                    reach(outer)
            elif node.kind == ACCEPT:
                accepts = True
        return _State({word: frozenset(found) for word, found in moves.items()}, frozenset(anything), accepts)
