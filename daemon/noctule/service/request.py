"""A request on its way to the language worker: what every face of the service hands in, and the worker answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from noctule.core.clock import Clock
from noctule.core.errors import CancelledError, UnavailableError


@dataclass(eq=False)
class Ask:
    """One request on its way.

    emit: called in the worker's thread with each piece of the reply; deadline: monotonic seconds.
    options: further settings of this request, as the API took them: "messages" ((role, text), …), "sampling" (fields
    of lm.sampling), "seed", "max_tokens", "stop"; each may be missing. Of a spoken request that may have been
    worded in several ways: "wordings" ((text, share), …), the likeliest, `text`, first, and "settle" (index, how sure
    or None) → whether to go on (see voice.transcript.Spoken).
    """

    text: str
    emit: Callable[[str], None]
    deadline: float
    clock: Clock
    options: Mapping[str, Any] = field(default_factory=dict)
    result: Future[Mapping[str, Any]] = field(default_factory=Future)
    beat: Callable[[], None] = lambda: None
    #: monotonic seconds at which the worker got it, and at which the first piece of its reply came
    received: float = 0.0
    first: float | None = None
    _cancelled: str = ""

    def cancel(self, why: str) -> None:
        """Ask for an early end; `why` becomes the error's sentence."""
        self._cancelled = self._cancelled or why

    @property
    def timed_out(self) -> bool:
        return self.clock.monotonic() >= self.deadline

    def going_on(self) -> bool:
        """Called once a token: beats, and says whether to go on."""
        self.beat()
        return not self._cancelled and not self.timed_out

    def check(self) -> None:
        """Raise when there is nobody left to answer, or no time."""
        if self._cancelled:
            raise CancelledError(self._cancelled)
        if self.timed_out:
            raise UnavailableError("The request's time was over before its turn came.", "the service is busy")
