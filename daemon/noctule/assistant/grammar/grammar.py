"""The whole grammar: what the assistant's actions and the owner's commands can be asked with, and what a sentence
means.

    grammar = Grammar(english(), SPECS, {"heating": ["set the heating to {degrees:number:5..30}"]})
    grammar.match(read("set the heating to twenty one please"))      # command "heating", degrees "21"

A sentence that a line of the grammar gives needs no model to be understood. What several lines give is taken as the
one that leaves the fewest words to slots for any words; the owner's commands come first, then the order of the lines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from noctule.assistant.actions.registry import Argument, Spec, Value
from noctule.assistant.grammar.files import Phrasing, Phrasings
from noctule.assistant.grammar.kinds import FREE, Lists, options, value_of
from noctule.assistant.grammar.network import Network
from noctule.assistant.grammar.parse import Derivation, derivations
from noctule.assistant.grammar.template import Choice, Part, Sequenced, Slot, TemplateError, hollow, parse
from noctule.assistant.grammar.walk import Walker
from noctule.assistant.grammar.writing import ways
from noctule.assistant.phrases.request import Request, read

_OPENING, _ASKING, _ENDING = "opening", "asking", "ending"
#: kinds of an action's own arguments
_KIND = {"duration": "duration", "percent": "percent", "words": "name"}


@dataclass(frozen=True)
class Match:
    """What a sentence asks for. action: an action's name, or "" for a command of the owner; command: its name;
    arguments: those given; free: words that only a slot for any words took."""

    action: str
    command: str
    arguments: Mapping[str, Value]
    free: int


@dataclass(frozen=True)
class _Meaning:
    action: str
    command: str
    constants: tuple[tuple[str, str], ...]
    passed: frozenset[str]


class Grammar:
    """phrasings: of the actions, with rules and lists; specs: the actions; owner: command -> its phrases; lists: the
    owner's; keep: which lines count (an evaluation leaves out those that are held out). Raises TemplateError, which
    names the phrase."""

    def __init__(
        self,
        phrasings: Phrasings,
        specs: Iterable[Spec],
        owner: Mapping[str, Sequence[str]] | None = None,
        lists: Lists | None = None,
        keep: Callable[[Phrasing], bool] = lambda line: True,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._lists: Lists = {**phrasings.lists, **(lists or {})}
        self._meanings: list[_Meaning] = []
        self._rules = phrasings.rules
        self._network = Network(phrasings.rules, lambda slot: options(slot, self._lists), self._free)
        asked, stated = self._owned(owner or {})
        for line in phrasings.lines:
            if line.action in self._specs and keep(line) and not _begins_freely(line.parts):
                (stated if line.question else asked).append(self._line(line))
        self._start = self._around(asked, stated)
        self._network.finish()
        #: for the recogniser, and for everybody else
        self.walker, self._matcher = Walker(self._network, self._start), Walker(self._network, self._start)
        self._lock = threading.Lock()

    # -- building ------------------------------------------------------------------------------------------------

    def _free(self, slot: Slot) -> int | None:
        return FREE.get(slot.kind) if slot.kind not in self._lists else None

    def _meaning(self, meaning: _Meaning) -> int:
        self._meanings.append(meaning)
        return len(self._meanings) - 1

    def _end(self, meaning: _Meaning) -> int:
        network, accept = self._network, self._network.accept(self._meaning(meaning))
        return network.loop(self._courtesy(_ENDING), [accept])

    def _line(self, line: Phrasing) -> int:
        spec = self._specs[line.action]
        known = {argument.name: argument for argument in spec.arguments}
        meaning = _Meaning(spec.name, "", line.constants, frozenset(known))
        key = (meaning.action, meaning.constants)
        if key not in self._ends:
            self._ends[key] = self._end(meaning)
        try:
            return self._network.sequence(_typed(line.parts, lambda slot: _declared(slot, known)), self._ends[key])
        except TemplateError as error:
            raise TemplateError(f'{line.where}: "{line.text}": {error.message}', error.hint) from None

    def _owned(self, owner: Mapping[str, Sequence[str]]) -> tuple[list[int], list[int]]:
        self._ends: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        found: list[int] = []
        for name, phrases in owner.items():
            end: int | None = None
            for number, phrase in enumerate(phrases, 1):
                where = f"commands.{name}.phrases, entry {number}"
                if not read(phrase).texts:
                    continue  # `noctule config check` says that it cannot be said
                parts = parse(phrase, where)
                if hollow(parts):
                    raise TemplateError(f'{where}: "{phrase}" is no phrase that can be said: no word of it must be')
                if end is None:
                    end = self._end(_Meaning("", name, (), frozenset({"*"})))
                try:
                    found.append(self._network.sequence(_typed(parts, self._own), end))
                except TemplateError as error:
                    raise TemplateError(f'{where}: "{phrase}": {error.message}', error.hint) from None
        return found, []

    def _own(self, slot: Slot) -> Slot:
        return slot if slot.kind else replace(slot, kind=slot.name)

    def _courtesy(self, name: str) -> int | None:
        return self._network.rule(name) if name in self._rules else None

    def _around(self, asked: Sequence[int], stated: Sequence[int]) -> int:
        """What is asked for, with courtesies before it; both lists may be empty."""
        network = self._network
        polite = network.loop(self._courtesy(_ASKING), [network.fork(asked)]) if asked else None
        lines = [*([polite] if polite is not None else []), *stated]
        return network.loop(self._courtesy(_OPENING), [network.fork(lines)] if lines else [])

    # -- use -----------------------------------------------------------------------------------------------------

    @property
    def words(self) -> Walker:
        """For the recogniser's thread alone."""
        return self.walker

    @property
    def ways(self) -> Callable[[str, bool], list[tuple[str, bool]]]:
        """How the recogniser writes a word."""
        return ways

    def meaning(self, text: str) -> Hashable | None:
        """What a sentence asks for, so that two can be compared; None for nothing."""
        match = self.match(read(text))
        if match is None:
            return None
        given = tuple(
            (name, value.number if value.number is not None else read(value.text).plain)
            for name, value in sorted(match.arguments.items())
        )
        return (match.action, match.command, given)

    def unfinished(self, text: str) -> bool:
        """Whether sentences begin like it, and none is so short."""
        state = self._after(read(text).texts)
        return state is not None and not self._matcher.accepts(state)

    def over(self, text: str) -> bool:
        """Whether it is a whole request, and every longer one that begins like it means the same."""
        state = self._after(read(text).texts)
        return state is not None and self._matcher.settled(state)

    def _after(self, words: Sequence[str]) -> int | None:
        with self._lock:
            state: int | None = self._matcher.begin()
            for word in words:
                state = self._matcher.step(state, word) if state is not None else None
            return state

    def accepts(self, words: Sequence[str]) -> bool:
        """Whether a line gives this sentence; the values of its slots may still be out of bounds."""
        state = self._after(words)
        return state is not None and self._matcher.accepts(state)

    def match(self, request: Request) -> Match | None:
        """What the request asks for, None when no line gives it."""
        if not request.words or not self.accepts(request.texts):
            return None
        best: tuple[tuple[int, int], Match] | None = None
        for order, found in enumerate(derivations(self._network, self._start, request.texts)):
            match = self._read(found, request)
            rank = (match.free, order) if match is not None else (0, 0)
            if match is not None and (best is None or rank < best[0]):
                best = rank, match
        return best[1] if best is not None else None

    def _read(self, found: Derivation, request: Request) -> Match | None:
        meaning = self._meanings[found.meaning]
        arguments = {name: Value(value) for name, value in meaning.constants}
        free = 0
        for filled in found.slots:
            slot = filled.slot
            if slot.name in ("digits", "decimals", "clock_digits"):
                continue
            value = value_of(slot, request, filled.start, filled.end, self._lists)
            if value is None:
                return None
            free += filled.end - filled.start if slot.kind in FREE else 0
            if meaning.command:
                arguments[slot.name] = Value(value.text, value.number)
            elif slot.name in meaning.passed:
                # an action gets the words themselves, as the model would copy them
                arguments[slot.name] = Value(request.quote(filled.start, filled.end), value.number)
        return Match(meaning.action, meaning.command, arguments, free)


def _begins_freely(parts: Sequence[Part]) -> bool:
    """Whether the first word may be any: everything would begin like such a line, so it is the model's business."""
    for part in parts:
        if isinstance(part, Slot):
            return part.kind in FREE or (not part.kind and part.name in FREE)
        if not isinstance(part, Choice):
            return False
        if any(option and _begins_freely(option) for option in part.options):
            return True
        if () not in part.options:
            return False
    return False


def _typed(parts: Sequence[Part], typed: Callable[[Slot], Slot]) -> Sequenced:
    """The same parts, every slot with its kind."""
    done: list[Part] = []
    for part in parts:
        if isinstance(part, Slot):
            done.append(typed(part))
        elif isinstance(part, Choice):
            done.append(Choice(tuple(_typed(option, typed) for option in part.options)))
        else:
            done.append(part)
    return tuple(done)


def _declared(slot: Slot, known: Mapping[str, Argument]) -> Slot:
    argument = known.get(slot.name)
    if slot.kind or argument is None:
        return slot if slot.kind else replace(slot, kind=slot.name)
    if argument.kind == "choice":
        return replace(slot, kind=slot.name)
    if argument.kind == "words":
        return replace(slot, kind="name")
    return replace(slot, kind=_KIND[argument.kind], low=argument.minimum, high=argument.maximum)
