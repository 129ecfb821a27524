"""The language worker: one thread that owns the language model and answers requests one after another.

Requests wait in a bounded queue; beyond it they are refused at once and counted. A request ends early when its
client goes away, when its time is over, or when the service stops, each within one token. Between requests the
worker runs a canary, a real step of the model, so that its heartbeat means "I can still think" and not "I still
wait for a queue".

The worker knows nothing of language: what an answer is belongs to the `Engine`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from noctule.assistant.engine_protocol import Engine, Facts, Rest
from noctule.assistant.engine_slot import LOAD_LIMIT, NAME, EngineSlot
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, CancelledError, NoctuleError, UnavailableError, handed_over
from noctule.core.events import Bus
from noctule.service.request import Ask
from noctule.service.supervisor import Job, Part

__all__ = ["LOAD_LIMIT", "NAME", "Ask", "Counts", "Engine", "LanguageWorker", "Rest"]


@dataclass
class Counts:
    """What happened to requests since the start."""

    received: int = 0
    answered: int = 0
    failed: int = 0
    refused: int = 0
    cancelled: int = 0


class LanguageWorker:
    """The queue in front of the model and the loop behind it. build: loads an engine; rest: when it may go; nudged:
    there is something to do between requests, which the loop knows already."""

    def __init__(
        self,
        build: Callable[[Part], Engine],
        bus: Bus,
        clock: Clock,
        *,
        size: int,
        max_age: float,
        rest: Callable[[], Rest] = Rest,
        nudged: Callable[[], None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        #: bounded by `_size` requests; None, of which there is at most one, only wakes the loop
        self._queue: queue.Queue[Ask | None] = queue.Queue()
        self._size = size
        self._waiting = 0
        self._nudged = False
        self._canary_every = max_age / 3
        self._lock = threading.Lock()
        self._current: Ask | None = None
        #: why requests are refused at the moment; None while they are taken (also during the first load).
        self._closed: NoctuleError | None = None
        self._stopped = False
        self.counts = Counts()
        self._tell_nudged = nudged
        self.slot = EngineSlot(build, bus, clock, rest, self._to_do, self._open)
        #: seconds from a request's arrival to the first piece of its reply: the last one's, a load included.
        self.first_seconds: float | None = None
        self.job = Job(NAME, self.run, max_age, self.stop)

    @property
    def about(self) -> Facts:
        """Facts about the engine; empty when there is none."""
        return self.slot.about

    # -- any thread ----------------------------------------------------------------------------------------------

    def submit(self, ask: Ask) -> None:
        """Queue a request. Raises BusyError when the queue is full, UnavailableError when nobody would answer."""
        ask.received = self._clock.monotonic()
        with self._lock:
            self.counts.received += 1
            try:
                if self._closed is not None:
                    raise self._closed
                if self._waiting >= self._size:
                    raise BusyError(
                        f"{self._size} requests are waiting already.", "try again soon, or raise lm.queue"
                    )
                self._waiting += 1
                self._queue.put(ask)
            except NoctuleError as error:
                self.counts.refused += 1
                self._bus.publish("ask.refused", NAME, f"Refused a request: {error.message}", 4, code=error.code)
                raise

    @property
    def waiting(self) -> int:
        return self._waiting

    def stop(self) -> None:
        """End the current request and everything that waits; the loop then sees its stop event."""
        with self._lock:
            self._stopped = True
            if self._current is not None:
                self._current.cancel("The service is stopping.")
        self._close(UnavailableError("The service is stopping."))
        self.nudge()
        self.slot.abandon()

    def nudge(self) -> None:
        """Have the loop look at its orders."""
        with self._lock:
            if not self._nudged:
                self._nudged = True
                self._queue.put(None)

    def _to_do(self) -> None:
        self.nudge()
        self._tell_nudged()

    def resize(self, size: int) -> None:
        """How many requests may wait, from now on; those that wait already stay."""
        with self._lock:
            self._size = size

    def _take(self, timeout: float) -> Ask | None:
        """The next request; None when the loop was woken for something else. Raises queue.Empty."""
        ask = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
        with self._lock:
            if ask is None:
                self._nudged = False
            else:
                self._waiting -= 1
        return ask

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        """Load, then: wait for a request, answer it, beat."""
        try:
            try:
                self.slot.ensure(part)
                while not stop.is_set():
                    part.beat()
                    self.slot.settle(part)
                    self.slot.rest()
                    try:
                        ask = self._take(self.slot.nap(self._canary_every))
                    except queue.Empty:
                        self.slot.canary()
                        continue
                    if ask is not None:
                        self._serve(ask, part)
                        self.slot.used()
            finally:
                self.slot.close()
        except NoctuleError as error:
            self._close(UnavailableError(f"The language model is out of service: {error.message}", error.hint))
            raise
        except BaseException as error:
            self._close(UnavailableError(f"The language model failed ({type(error).__name__}) and is restarted."))
            raise

    def _ready(self, ask: Ask, part: Part) -> tuple[Engine, float]:
        """The engine, and the seconds for which this request waited for it to be loaded."""
        rested = not self.slot.loaded
        try:
            engine = self.slot.ensure(part)
        except BaseException as error:
            self.counts.failed += 1
            reason = error.message if isinstance(error, NoctuleError) else type(error).__name__
            self._failed(ask, UnavailableError(f"The language model could not be loaded again: {reason}"))
            raise
        return engine, round(self.slot.load_seconds, 4) if rested else 0.0

    def _serve(self, ask: Ask, part: Part) -> None:
        engine, loading = self._ready(ask, part)
        emit = ask.emit

        def note_first(piece: str) -> None:
            if ask.first is None:
                ask.first = self._clock.monotonic()
            emit(piece)

        ask.emit = note_first
        ask.beat = part.beat
        with self._lock:
            self._current = ask
            if self._stopped:
                ask.cancel("The service is stopping.")
        started = self._clock.monotonic()
        try:
            ask.check()
            answer = engine.answer(ask)
            if ask._cancelled:
                raise CancelledError(ask._cancelled)
        except CancelledError as error:
            self.counts.cancelled += 1
            self._failed(ask, CancelledError(ask._cancelled) if ask._cancelled else error, level=6)
        except NoctuleError as error:
            self.counts.failed += 1
            self._failed(ask, error, level=4)
        except BaseException as error:
            self.counts.failed += 1
            self._failed(ask, UnavailableError("The language model failed on this request.", type(error).__name__))
            raise
        else:
            self.counts.answered += 1
            seconds = round(self._clock.monotonic() - started, 4)
            facts: dict[str, Any] = {k: v for k, v in answer.items() if isinstance(v, (str, int, float, bool))}
            facts |= {f"{name}_tokens": count for name, count in answer.get("tokens", {}).items()}
            facts["seconds"] = seconds
            if loading:
                facts["load_s"] = loading
                answer = {**answer, "seconds": {**answer.get("seconds", {}), "load": loading}}
            if ask.first is not None:
                self.first_seconds = facts["first_s"] = round(ask.first - ask.received, 4)
            self._bus.publish("ask.answered", NAME, f"Answered a request in {seconds:.2f} s", **facts)
            _settle(ask.result, answer)
        finally:
            with self._lock:
                self._current = None

    def _failed(self, ask: Ask, error: NoctuleError, level: int = 3) -> None:
        self._bus.publish(
            "ask.failed", NAME, f"A request was not answered: {error.message}", level=level, code=error.code
        )
        _settle(ask.result, error)

    def _open(self) -> None:
        with self._lock:
            if not self._stopped:
                self._closed = None

    def _close(self, error: NoctuleError) -> None:
        """Take no more requests, and send those that wait away with `error`."""
        with self._lock:
            self._closed = error
        while True:
            try:
                ask = self._take(0)
            except queue.Empty:
                return
            if ask is not None:
                self.counts.refused += 1
                _settle(ask.result, error)


def _settle(future: Future[Mapping[str, Any]], outcome: Mapping[str, Any] | NoctuleError) -> None:
    """Hand the outcome over, unless the one who waited has already left (and so cancelled the future)."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, NoctuleError):
        future.set_exception(handed_over(outcome))
    else:
        future.set_result(outcome)
