"""Templates as a network of words that is never listed: rules and slots are networks of their own, which it calls.
Pure.

A recursive transition network (W. Woods, *Transition network grammars for natural language analysis*, CACM 13, 1970),
without recursion. It is built from the right to the left, and what is the same from a place on is stored once, so
that a thousand lines that end alike share their ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from noctule.assistant.grammar.template import Choice, Rule, Sequenced, Slot, TemplateError, Text
from noctule.assistant.phrases.request import read

#: what a node is: a word; any word; the beginning of one of several; a call; the end of a sentence; of a network
WORD, ANY, FORK, CALL, ACCEPT, RETURN = range(6)
#: nodes that a grammar may have: about 300 MB would be needed for more
MOST_NODES = 2_000_000


class Node(NamedTuple):
    """kind: see above; word: of a WORD; next: of WORD, ANY and CALL; targets: of a FORK; network: of a CALL; slot:
    the slot that a CALL fills, None for a rule; meaning: of an ACCEPT."""

    kind: int
    next: int = -1
    word: str = ""
    targets: tuple[int, ...] = ()
    network: int = -1
    slot: Slot | None = None
    meaning: int = -1


#: number words of a template, which a recogniser may write in digits; rules spell out both where they mean both
_DIGITS = {
    word: str(number)
    for number, word in [
        *enumerate(
            [
                "zero",
                "one",
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
                "eleven",
                "twelve",
                "thirteen",
                "fourteen",
                "fifteen",
                "sixteen",
                "seventeen",
                "eighteen",
                "nineteen",
            ]
        ),
        *zip(
            range(20, 100, 10),
            ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
            strict=True,
        ),
    ]
}


@lru_cache(maxsize=65536)
def _texts(word: str) -> tuple[str, ...]:
    """A written word as a request has it: "twenty-five" is two."""
    return read(word).texts


class Network:
    """rules: name -> alternatives; fill: the alternatives of a slot's kind; free: the most words of a slot that takes
    any words, None for the others. Both raise TemplateError for a kind that does not exist."""

    def __init__(
        self,
        rules: dict[str, list[Sequenced]],
        fill: Callable[[Slot], Iterable[Sequenced]],
        free: Callable[[Slot], int | None],
    ) -> None:
        self._rules, self._fill, self._free = rules, fill, free
        self.nodes: list[Node] = []
        self._known: dict[tuple[object, ...], int] = {}
        self._networks: dict[object, int] = {}
        self._building: list[str] = []
        #: where each called network begins; one that is called stands before those that call it
        self.entries: list[int] = []
        self._return = self._node(RETURN)
        self._ahead: dict[int, dict[str, tuple[int, ...]]] = {}
        self._firsts: dict[int, tuple[frozenset[str], bool]] = {}

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _node(
        self, kind: int, after: int = -1, word: str = "", targets: tuple[int, ...] = (), network: int = -1,
        slot: Slot | None = None, meaning: int = -1,
    ) -> int:  # fmt: skip
        key = (kind, after, word, targets, network, slot, meaning)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.nodes)
            if found >= MOST_NODES:
                raise TemplateError(f"the grammar has more than {MOST_NODES} places", "use fewer or shorter phrases")
            self.nodes.append(Node(kind, after, word, targets, network, slot, meaning))
        return found

    def accept(self, meaning: int) -> int:
        """The end of a sentence that means this."""
        return self._node(ACCEPT, meaning=meaning)

    def fork(self, targets: Iterable[int]) -> int:
        """Any of these may follow."""
        unique = tuple(dict.fromkeys(targets))
        return unique[0] if len(unique) == 1 else self._node(FORK, targets=unique)

    def loop(self, network: int | None, after: Sequence[int]) -> int:
        """One of `after`, before it any number of times what the network says, which must
        not be nothing."""
        place = len(self.nodes)
        self.nodes.append(Node(FORK, targets=tuple(dict.fromkeys(after))))
        if network is None:
            return place
        call = self._node(CALL, place, network=network)
        self.nodes[place] = Node(FORK, targets=(*dict.fromkeys(after), call))
        return place

    # -- templates -----------------------------------------------------------------------------------------------

    def sequence(self, parts: Sequence[object], after: int) -> int:
        """Where the parts begin when `after` follows them. Raises TemplateError."""
        for part in reversed(parts):
            if isinstance(part, Text):
                for word in reversed(part.words):
                    for text in reversed(_texts(word)):
                        spelled = self._node(WORD, after, text)
                        if text in _DIGITS and not self._building:
                            spelled = self.fork([spelled, self._node(WORD, after, _DIGITS[text])])
                        after = spelled
            elif isinstance(part, Choice):
                after = self.fork([self.sequence(option, after) for option in part.options])
            elif isinstance(part, Rule):
                after = self._node(CALL, after, network=self.rule(part.name))
            elif isinstance(part, Slot):
                after = self._node(CALL, after, network=self._slot(part), slot=part)
        return after

    def rule(self, name: str) -> int:
        """The network of a rule. Raises TemplateError where there is none, or where it stands in itself."""
        key = ("rule", name)
        if key not in self._networks:
            if name not in self._rules:
                raise TemplateError(f"<{name}> is no rule")
            if name in self._building:
                raise TemplateError(f"<{name}> stands in itself")
            self._building.append(name)
            self._networks[key] = self._network(self._rules[name])
            self._building.pop()
        return self._networks[key]

    def _slot(self, slot: Slot) -> int:
        key = ("slot", slot.kind, slot.low, slot.high)
        if key not in self._networks:
            most = self._free(slot)
            if most is None:
                self._networks[key] = self._network(self._fill(slot))
            else:
                after = self._node(ANY, self._return)
                for _ in range(most - 1):
                    after = self._node(ANY, self.fork([self._return, after]))
                # what is often meant need not be made up from sounds
                known = [self.sequence(option, self._return) for option in self._fill(slot)]
                self.entries.append(self.fork([*known, after]))
                self._networks[key] = len(self.entries) - 1
        return self._networks[key]

    def _network(self, options: Iterable[Sequenced]) -> int:
        entry = self.fork([self.sequence(option, self._return) for option in options])
        self.entries.append(entry)
        return len(self.entries) - 1

    # -- looking ahead -------------------------------------------------------------------------------------------

    def ahead(self, fork: int, word: str) -> tuple[int, ...]:
        """Those targets of a fork that may go on with this word, in their order. "" for the end."""
        table = self._ahead.get(fork)
        if table is None:
            lists: dict[str, list[int]] = {}
            rest: list[int] = []  # those that go on with anything, or with nothing
            for order, target in enumerate(self.nodes[fork].targets):
                words, open_ended = self._first(target)
                if open_ended:
                    rest.append(order)
                for first in words:
                    lists.setdefault(first, []).append(order)
            targets = self.nodes[fork].targets
            table = {first: tuple(targets[i] for i in sorted({*found, *rest})) for first, found in lists.items()}
            table[""] = tuple(targets[i] for i in rest)
            self._ahead[fork] = table
        return table.get(word, table[""])

    def _first(self, node: int) -> tuple[frozenset[str], bool]:
        """(words that may come first, whether any word, or none, may)."""
        words: set[str] = set()
        open_ended = False
        work, seen = [node], {node}
        while work:
            it = self.nodes[work.pop()]
            if it.kind == WORD:
                words.add(it.word)
                continue
            more: tuple[int, ...] = ()
            if it.kind == FORK:
                more = it.targets
            elif it.kind == CALL:
                inside, hollow = self._first_of(it.network)
                words |= inside
                if hollow:
                    more = (it.next,)
                    open_ended = open_ended or self._takes_any(it.network)
            else:
                open_ended = True
            for target in more:
                if target not in seen:
                    seen.add(target)
                    work.append(target)
        return frozenset(words), open_ended

    def _first_of(self, network: int) -> tuple[frozenset[str], bool]:
        if network not in self._firsts:
            self._firsts[network] = self._first(self.entries[network])
        return self._firsts[network]

    def _takes_any(self, network: int) -> bool:
        entry = self.nodes[self.entries[network]]
        return any(self.nodes[target].kind == ANY for target in (self.entries[network], *entry.targets))

    def finish(self) -> None:
        """Nothing more is added: what was only needed for that is freed."""
        self._known.clear()
        self._networks.clear()
