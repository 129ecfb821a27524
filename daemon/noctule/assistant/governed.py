"""What the language model can give up when the board is too hot, short of power or short of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from noctule.assistant.worker import LanguageWorker
from noctule.config.schema import Lm
from noctule.service.governor import Step


class Governable(Protocol):
    """What of the model manager is turned down and up again."""

    worker: LanguageWorker

    def wanted(self) -> Lm: ...
    def limit_threads(self, most: int) -> None: ...
    def rest_now(self, on: bool) -> None: ...


def governed_steps(language: Governable) -> Sequence[Step]:
    """The steps, the mildest first."""
    return [Threads(language), Context(language), Unload(language)]


class Threads:
    """Half the threads: less heat and current; the answer takes longer."""

    name, relieves = "threads", frozenset({"heat", "power"})

    def __init__(self, language: Governable) -> None:
        self._language = language

    def take(self) -> str:
        before = self._language.wanted().threads
        if before < 2 or not self._language.worker.about:
            return ""
        self._language.limit_threads(before // 2)
        return f"the language model uses {before // 2} of {before} threads"

    def undo(self) -> str:
        self._language.limit_threads(64)
        return f"the language model uses {self._language.wanted().threads} threads again"


class Context:
    """The smallest context bucket: less memory and time a token; long conversations are refused."""

    name, relieves = "context", frozenset({"heat", "memory"})

    def __init__(self, language: Governable) -> None:
        self._language = language

    def take(self) -> str:
        smallest, now = (self._language.worker.about.get(key) for key in ("smallest_context", "context"))
        if not smallest or not now or smallest >= now:
            return ""
        self._language.worker.slot.lean(True)
        return f"the language model keeps {smallest} of {now} tokens in mind"

    def undo(self) -> str:
        self._language.worker.slot.lean(False)
        return "the language model keeps its whole context in mind again"


class Unload:
    """No model in memory while nobody asks: the next answer waits for it."""

    name, relieves = "model", frozenset({"memory"})

    def __init__(self, language: Governable) -> None:
        self._language = language

    def take(self) -> str:
        if not self._language.worker.about:
            return ""
        self._language.rest_now(True)
        return "the language model is in memory only while it answers"

    def undo(self) -> str:
        self._language.rest_now(False)
        return "the language model may stay in memory again"
