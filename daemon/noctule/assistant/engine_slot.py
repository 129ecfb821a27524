"""The place that the language engine has in its worker: filled, exchanged, emptied while nobody asks.

    load       nothing is there: build what is wanted, in the worker's thread
    exchange   the next engine is built in a thread of its own while the present one goes on serving; it takes the
               place between two requests, and only if it was built (which means: its golden logits were right)
    renew      the same where memory has no room for two: the present one goes first
    rest       nobody asked for a while: the engine goes, and is built again for the next request

What an engine is, and whether there is room for two, is its builder's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from noctule.assistant.engine_protocol import Engine, Facts, Leanable, Rest
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, NoctuleError, UnavailableError, handed_over
from noctule.core.events import Bus
from noctule.core.memory import set_aside
from noctule.service.part import Part

NAME = "lm"
#: seconds that verifying, loading and warming up a model may take before it counts as frozen.
LOAD_LIMIT = 300.0


class EngineSlot:
    """build: makes the engine that is wanted now; wake: there is something to do between requests; served: an engine
    took the place, and whoever asked for it is not told yet.

    Methods of the worker's thread unless they say otherwise."""

    def __init__(
        self,
        build: Callable[[Part], Engine],
        bus: Bus,
        clock: Clock,
        rest: Callable[[], Rest] = Rest,
        wake: Callable[[], None] = lambda: None,
        served: Callable[[], None] = lambda: None,
    ) -> None:
        self._build, self._bus, self._clock, self._rest = build, bus, clock, rest
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._next: tuple[Engine, Future[Facts], float] | None = None
        self._loading: Future[Facts] | None = None
        self._renew = self._abandoned = False
        self._lean = self._is_lean = False
        self._used = clock.monotonic()
        self._wake, self._served = wake, served
        #: facts about the engine for `status`: also of one that rests.
        self.about: Facts = {}
        #: seconds that the last load took.
        self.load_seconds = 0.0

    # -- any thread ----------------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        return self._engine is not None

    def exchange(self, part: Part, build: Callable[[Part], Engine] | None = None) -> Future[Facts]:
        """Build the next engine beside the present one; the facts about it once it serves, or why it does not.

        Raises BusyError while another one is being built.
        """
        outcome: Future[Facts] = Future()
        with self._lock:
            if self._loading is not None and not self._loading.done():
                raise BusyError("A language model is being loaded already.", "wait for it: `noctule status`")
            self._loading = outcome
        threading.Thread(
            target=self._make_next, args=(part, build or self._build, outcome), name="lm-loader", daemon=True
        ).start()
        return outcome

    def renew(self) -> None:
        """Build the engine again, from what is wanted then, before the next request."""
        self._renew = True
        self._wake()

    def lean(self, on: bool) -> None:
        """Ask for the smallest context bucket, or for all again; it happens between two requests."""
        self._lean = on
        self._wake()

    def abandon(self) -> None:
        """The service stops: what was built and never served goes."""
        with self._lock:
            self._abandoned = True
            waiting, self._next = self._next, None
        if waiting is not None:
            self._turn_away(waiting[0], waiting[1])

    @staticmethod
    def _turn_away(engine: Engine, outcome: Future[Facts]) -> None:
        outcome.set_exception(UnavailableError("The service is stopping."))
        engine.close()

    def _make_next(self, part: Part, build: Callable[[Part], Engine], outcome: Future[Facts]) -> None:
        began = self._clock.monotonic()
        try:
            engine = build(part)
        except NoctuleError as error:
            outcome.set_exception(handed_over(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours in a thread that nobody joins
            outcome.set_exception(UnavailableError("The language model could not be loaded.", type(error).__name__))
        else:
            with self._lock:
                late = self._abandoned
                if not late:
                    self._next = (engine, outcome, self._clock.monotonic() - began)
            if late:
                self._turn_away(engine, outcome)
            self._wake()

    # -- the worker's thread -------------------------------------------------------------------------------------

    def ensure(self, part: Part) -> Engine:
        """The engine, loaded if it is not there. Raises ModelError."""
        self.settle(part)
        if self._engine is None:
            part.expect(LOAD_LIMIT)
            began = self._clock.monotonic()
            self._install(self._build(part), self._clock.monotonic() - began)
            self._fit()
            part.beat()
        assert self._engine is not None
        return self._engine

    def settle(self, part: Part) -> None:
        """Between two requests: let the next engine in, renew, or change the context's size, where that is wanted."""
        with self._lock:
            waiting, self._next = self._next, None
        if waiting is not None:
            engine, outcome, seconds = waiting
            self._renew = False
            self._discard()
            set_aside()
            self._install(engine, seconds)
            outcome.set_result(self.about)
        elif self._renew:
            self._renew = False
            if self._engine is not None:
                self._discard()
                set_aside()
                self.ensure(part)
        self._fit()

    def _fit(self) -> None:
        """Give the engine the context's size that is wanted."""
        if self._lean != self._is_lean and isinstance(self._engine, Leanable):
            self._is_lean = self._lean
            self.about = {**self.about, "context": self._engine.lean(self._lean)}

    def canary(self) -> None:
        """A real step of the engine; one that rests is asked nothing."""
        if self._engine is not None:
            self._engine.canary()

    def used(self) -> None:
        """A request was served just now."""
        self._used = self._clock.monotonic()

    def nap(self, longest: float) -> float:
        """Seconds for which nothing is to be done here, at most `longest`."""
        rest = self._rest()
        if self._engine is None or not self._may_rest(rest) or rest.now:
            return longest
        return max(0.01, min(longest, self._used + rest.after - self._clock.monotonic()))

    def rest(self) -> bool:
        """Let an idle engine go, where that is wanted; True when it went."""
        rest = self._rest()
        idle = self._clock.monotonic() - self._used
        if self._engine is None or not self._may_rest(rest) or not (rest.now or idle >= rest.after):
            return False
        name = self.about.get("model", "the model")
        self._discard()
        set_aside()
        self.about = {**self.about, "loaded": False}
        why = "memory is short" if rest.now else f"nobody asked for {idle:.0f} s"
        self._bus.publish(
            "lm.unloaded", NAME, f"Unloaded {name}: {why}; the next request loads it again", 5, model=name
        )
        return True

    def _may_rest(self, rest: Rest) -> bool:
        large = int(self.about.get("bytes") or 0) > rest.keep
        return rest.now or (rest.after > 0 and large)

    def close(self) -> None:
        """The worker ends."""
        self._discard()
        self.about = {}

    def _install(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._is_lean = False
        self.load_seconds = seconds
        self.about = {**engine.about(), "loaded": True, "load_s": round(seconds, 3)}
        self._used = self._clock.monotonic()
        self._served()

    def _discard(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
