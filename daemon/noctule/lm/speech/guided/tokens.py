"""From an automaton of words to one of the recogniser's tokens, made as far as it is walked. Pure.

A word is written in several ways: "percent" as "%", "twenty five" as "twenty-five", the first with a capital. Each
way is a path of tokens; at its end, or at the next word's first token, the word automaton takes its step. What a slot
for any words takes is any token. Between words a comma may stand, and at the end ".", "?", "!" or ",".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol


class Words(Protocol):
    """An automaton of words, lazily walked; its states are numbers that are good until the next `begin`."""

    def begin(self) -> int:
        """The state before the first word."""

    def words(self, state: int) -> Collection[str]:
        """The words that may follow."""

    def step(self, state: int, word: str) -> int | None:
        """The state after a word."""

    def anything(self, state: int) -> int | None:
        """The state after a word that only a slot for any words takes."""

    def accepts(self, state: int) -> bool:
        """Whether a sentence may end here."""


class TokenPieces(Protocol):
    """The recogniser's tokenizer."""

    def encode(self, text: str) -> list[int]: ...

    def piece(self, token: int) -> bytes: ...

    @property
    def vocab_size(self) -> int: ...


class Way(Protocol):
    """How a word may be written: with a space before it, or joined to what stands before ("%", "-five")."""

    def __call__(self, word: str, first: bool) -> Iterable[tuple[str, bool]]:
        """(text, joined) of every way; first: the word begins the sentence."""


class _Trie:
    """The tokens of the words that may follow a state. words: those that end here; stopped: those that end here with
    the sentence, where a word and its full stop are one token."""

    __slots__ = ("children", "stopped", "words")

    def __init__(self) -> None:
        self.children: dict[int, _Trie] = {}
        self.words: tuple[str, ...] = ()
        self.stopped: tuple[str, ...] = ()


#: (state of the word automaton, place in its trie; None inside a word that only a slot for any words takes)
_Place = tuple[int, "_Trie | None"]
_SPACE = "\u2581".encode()
#: tries that are kept between two walks
_MOST = 4000


class TokenState:
    """Where a text may be. places: in the words; ended: nothing follows but the end."""

    __slots__ = ("_free", "_next", "ended", "final", "places")

    def __init__(self, places: tuple[_Place, ...], final: bool, ended: bool = False) -> None:
        self.places, self.final, self.ended = places, final, ended
        self._next: dict[int, TokenState | None] = {}
        self._free: bool | None = None


class Tokens:
    """The token automaton of `words`; ways: how a word is written."""

    def __init__(self, words: Words, pieces: TokenPieces, ways: Way) -> None:
        self._words, self._pieces, self._ways = words, pieces, ways
        self._written: dict[tuple[str, bool], list[tuple[tuple[int, ...], bool]]] = {}
        self._mark = tuple(pieces.encode("x"))
        self._comma, *self._stops = (self._joined(mark)[0] for mark in ",.?!")
        self._begins = [pieces.piece(token).startswith(_SPACE) for token in range(pieces.vocab_size)]
        self._inner = [_within(pieces.piece(token)) for token in range(pieces.vocab_size)]
        self._tries: dict[tuple[int, bool], _Trie] = {}
        self._start = -1
        self._seen: object = None

    def _joined(self, text: str) -> tuple[int, ...]:
        return tuple(self._pieces.encode("x" + text))[len(self._mark) :]

    def begin(self) -> TokenState:
        """The state before the first token. States of earlier walks must not be used any more."""
        start = self._words.begin()
        generation = getattr(self._words, "generation", 0)
        if generation != self._seen or len(self._tries) > _MOST:
            self._tries.clear()
            self._seen = generation
            self._first = TokenState(((start, self._trie(start, True)),), False)
        return self._first

    def _trie(self, state: int, first: bool = False) -> _Trie:
        key = (state, first)
        root = self._tries.get(key)
        if root is None:
            root = self._tries[key] = _Trie()
            for word in self._words.words(state):
                for tokens, stopped in self._writings(word, first):
                    at = root
                    for token in tokens:
                        at = at.children.setdefault(token, _Trie())
                    if stopped:
                        at.stopped = (*at.stopped, word)
                    elif word not in at.words:
                        at.words = (*at.words, word)
        return root

    def _writings(self, word: str, first: bool) -> list[tuple[tuple[int, ...], bool]]:
        key = (word, first)
        if key not in self._written:
            found: dict[tuple[tuple[int, ...], bool], None] = {}
            for text, joined in self._ways(word, first):
                tokens = self._tokens_of(text, joined)
                found[tokens, False] = None
                for stop, mark in zip(self._stops, ".?!", strict=True):
                    merged = self._tokens_of(text + mark, joined)
                    if merged != (*tokens, stop):
                        found[merged, True] = None
            self._written[key] = [item for item in found if item[0]]
        return self._written[key]

    def _tokens_of(self, text: str, joined: bool) -> tuple[int, ...]:
        return self._joined(text) if joined else tuple(self._pieces.encode(text))

    # -- walking -------------------------------------------------------------------------------------------------

    def free(self, state: TokenState) -> bool:
        """Whether almost any token may follow, so that they are not listed."""
        if state._free is None:
            state._free = any(
                trie is None or (any(self._words.anything(s) is not None for s in self._after((s0, trie))))
                for s0, trie in state.places
            )
            if state is self._first:
                state._free = self._words.anything(state.places[0][0]) is not None
        return state._free

    def choices(self, state: TokenState) -> list[int]:
        """The tokens that may follow where they can be listed."""
        if state.ended:
            return []
        found: set[int] = set(self._stops) | {self._comma} if state.final else set()
        found.add(self._comma)
        for place in state.places:
            if place[1] is not None:
                found.update(place[1].children)
            for after in self._after(place):
                found.update(self._trie(after).children)
        return list(found)

    def any_word(self, state: TokenState, token: int) -> bool:
        """Whether the token has begun a word that only a slot for any words takes."""
        return self._begins[token] and all(trie is None for _, trie in state.places) and not state.ended

    def step(self, state: TokenState, token: int) -> TokenState | None:
        """The state after a token; None where no sentence goes on with it."""
        if token not in state._next:
            state._next[token] = self._step(state, token)
        return state._next[token]

    def _step(self, state: TokenState, token: int) -> TokenState | None:
        if state.ended:
            return None
        places: dict[tuple[int, int], _Place] = {}

        def reach(number: int, trie: _Trie | None) -> None:
            places[number, id(trie)] = (number, trie)

        for number, trie in state.places:
            if trie is None:
                if self._inner[token]:
                    reach(number, None)
            elif token in trie.children:
                reach(number, trie.children[token])
            for after in self._after((number, trie)):
                root = self._trie(after)
                if token in root.children:
                    reach(after, root.children[token])
                if self._begins[token] and self._words.anything(after) is not None:
                    reach(after, None)
                if token == self._comma:
                    reach(after, root)
        if state is self._first and self._begins[token] and self._words.anything(state.places[0][0]) is not None:
            reach(state.places[0][0], None)
        if places:
            found = tuple(places.values())
            return TokenState(found, any(self._words.accepts(s) for place in found for s in self._ends(place)))
        if token in self._stops and state.final:
            return TokenState((), True, True)
        return None

    def _after(self, place: _Place) -> Sequence[int]:
        """The word automaton's states when the word at hand ends here."""
        number, trie = place
        if trie is None:
            after = self._words.anything(number)
            return () if after is None else (after,)
        steps = (self._words.step(number, word) for word in trie.words)
        found = [after for after in steps if after is not None]
        if trie is self._tries.get((number, False)):
            found.append(number)  # after a comma: no word has begun yet
        return found

    def _ends(self, place: _Place) -> Sequence[int]:
        """The word automaton's states when the sentence ends here."""
        number, trie = place
        stopped = () if trie is None else trie.stopped
        steps = (self._words.step(number, word) for word in stopped)
        return [*self._after(place), *(after for after in steps if after is not None)]


def _within(piece: bytes) -> bool:
    """Whether a piece may go on a word: letters, digits, apostrophes and hyphens."""
    return bool(piece) and not piece.startswith(_SPACE) and not any(mark in piece for mark in b'.,?!;:"()')
