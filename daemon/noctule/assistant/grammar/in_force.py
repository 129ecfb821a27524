"""The grammar of the configuration in force: compiled when the owner's commands or lists have changed, else as it
was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from noctule.assistant.actions.declared import SPECS
from noctule.assistant.grammar.files import english, entry
from noctule.assistant.grammar.grammar import Grammar

_lock = threading.Lock()


class Phrases(Protocol):
    """A [commands.NAME] section."""

    phrases: list[str]


class OwnPhrases(Protocol):
    """The part of the configuration that the grammar is made of."""

    @property
    def commands(self) -> Mapping[str, Phrases]: ...
    @property
    def slots(self) -> Mapping[str, Sequence[str]]: ...


def grammar_of(config: OwnPhrases) -> Grammar:
    """The grammar of this configuration, the same one for everybody who asks. Raises TemplateError."""
    owner = tuple((name, tuple(command.phrases)) for name, command in config.commands.items())
    lists = tuple((name, tuple(values)) for name, values in config.slots.items())
    with _lock:
        return _compiled(owner, lists)


@lru_cache(maxsize=2)
def _compiled(
    owner: tuple[tuple[str, tuple[str, ...]], ...], lists: tuple[tuple[str, tuple[str, ...]], ...]
) -> Grammar:
    return Grammar(
        english(), SPECS, dict(owner), {name: [entry(value) for value in values] for name, values in lists}
    )


class GrammarInForce:
    """config: asked anew for each use, so that a reload counts."""

    def __init__(self, config: Callable[[], OwnPhrases]) -> None:
        self._config = config
        self._last: OwnPhrases | None = None
        self._grammar: Grammar | None = None

    def __call__(self) -> Grammar:
        config = self._config()
        if self._grammar is None or config is not self._last:
            self._grammar, self._last = grammar_of(config), config
        return self._grammar
