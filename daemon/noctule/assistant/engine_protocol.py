"""What the language worker asks of a language engine, and what it may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from noctule.service.request import Ask

#: JSON-able facts about an engine, for `status`.
Facts = Mapping[str, Any]


@runtime_checkable
class Leanable(Protocol):
    """An engine that can do with less memory and time at the price of shorter conversations."""

    def lean(self, on: bool) -> int:
        """Use the smallest context bucket, or all again; the context in force, in tokens."""


@dataclass(frozen=True)
class Rest:
    """When an idle engine is to go. after: seconds without a request, 0 for never; keep: bytes of a model that always
    stays; now: at once, whatever its size (memory is short)."""

    after: float = 0.0
    keep: int = 0
    now: bool = False


class Engine(Protocol):
    """A loaded language model with everything needed to answer."""

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        """Answer `ask.text`: calls `ask.emit` with pieces and `ask.going_on()` at least once a token.

        The result is JSON-able and has at least "reply". Raises NoctuleError; anything else is a bug and costs
        the worker its life.
        """

    def canary(self) -> None:
        """One cheap real step of the model; raises when it gives no sane answer."""

    def about(self) -> Mapping[str, Any]:
        """JSON-able facts for `status`: name, hash, threads, context."""

    def close(self) -> None:
        """Free the model."""
