"""Which lines of a network a sentence may be, and what fills their slots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noctule.assistant.grammar.network import ACCEPT, ANY, CALL, FORK, RETURN, WORD, Network
from noctule.assistant.grammar.template import Slot

#: readings of one sentence that are looked at
_MOST = 64
#: targets of a fork that are simply tried
_FEW = 6


@dataclass(frozen=True)
class Filled:
    """Words start..end (end excluded) fill the slot."""

    slot: Slot
    start: int
    end: int


@dataclass(frozen=True)
class Derivation:
    """One way to read a sentence: the meaning it ends in, and its slots in their order."""

    meaning: int
    slots: tuple[Filled, ...]


def derivations(network: Network, start: int, words: Sequence[str]) -> list[Derivation]:
    """Every way to read the whole of `words` from the node `start` on; the first of them, when they are very many."""
    nodes, size = network.nodes, len(words)
    inside: dict[tuple[int, int], list[tuple[int, tuple[Filled, ...]]]] = {}

    def called(number: int, at: int) -> list[tuple[int, tuple[Filled, ...]]]:
        """The places where the network may end that begins at word `at`, with the slots in it."""
        key = (number, at)
        if key not in inside:
            ends: dict[tuple[int, tuple[Filled, ...]], None] = {}
            for end, _, slots in walk(network.entries[number], at):
                ends[end, slots] = None
            inside[key] = list(ends)
        return inside[key]

    def walk(node: int, at: int) -> list[tuple[int, int, tuple[Filled, ...]]]:
        """(end, meaning or -1 for the end of a network, slots) of every way on."""
        found: list[tuple[int, int, tuple[Filled, ...]]] = []
        work: list[tuple[int, int, tuple[Filled, ...]]] = [(node, at, ())]
        while work and len(found) < _MOST:
            here, place, slots = work.pop()
            it = nodes[here]
            if it.kind == WORD:
                if place < size and words[place] == it.word:
                    work.append((it.next, place + 1, slots))
            elif it.kind == FORK:
                word = words[place] if place < size else ""
                targets = network.ahead(here, word) if len(it.targets) > _FEW else it.targets
                work += [(target, place, slots) for target in reversed(targets)]
            elif it.kind == ANY:
                if place < size:
                    work.append((it.next, place + 1, slots))
            elif it.kind == CALL:
                for end, more in called(it.network, place):
                    own = () if it.slot is None else (Filled(it.slot, place, end),)
                    work.append((it.next, end, (*slots, *own, *more)))
            elif it.kind == ACCEPT:
                if place == size:
                    found.append((place, it.meaning, slots))
            elif it.kind == RETURN:
                found.append((place, -1, slots))
        return found

    return [Derivation(meaning, slots) for _, meaning, slots in walk(start, 0) if meaning >= 0]
