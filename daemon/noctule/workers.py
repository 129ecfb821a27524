"""The language worker: one thread that owns the language model and answers requests one after another. L3.

Requests wait in a bounded queue; beyond it they are refused at once and counted. A request ends early when its
client goes away, when its time is over, or when the service stops, each within one token. Between requests the
worker runs a canary, a real step of the model, so that its heartbeat means "I can still think" and not "I still
wait for a queue".

The worker knows nothing of language: what an answer is belongs to the `Engine` (app.py builds it from the brain).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from noctule.clock import Clock
from noctule.errors import BusyError, CancelledError, NoctuleError, UnavailableError
from noctule.events import Bus
from noctule.supervisor import Job, Part

NAME = "lm"
#: seconds that verifying, loading and warming up a model may take before it counts as frozen.
LOAD_LIMIT = 300.0


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


@dataclass(eq=False)
class Ask:
    """One request on its way.

    emit: called in the worker's thread with each piece of the reply; deadline: monotonic seconds.
    options: further settings of this request, as the API took them.
    """

    text: str
    emit: Callable[[str], None]
    deadline: float
    clock: Clock
    options: Mapping[str, Any] = field(default_factory=dict)
    result: Future[Mapping[str, Any]] = field(default_factory=Future)
    beat: Callable[[], None] = lambda: None
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


@dataclass
class Counts:
    """What happened to requests since the start."""

    received: int = 0
    answered: int = 0
    failed: int = 0
    refused: int = 0
    cancelled: int = 0


class LanguageWorker:
    """The queue in front of the model and the loop behind it. build: loads an engine; runs in the worker's thread."""

    def __init__(self, build: Callable[[Part], Engine], bus: Bus, clock: Clock, *, size: int, max_age: float) -> None:
        self._build = build
        self._bus = bus
        self._clock = clock
        self._queue: queue.Queue[Ask | None] = queue.Queue(maxsize=size)
        self._canary_every = max_age / 3
        self._lock = threading.Lock()
        self._current: Ask | None = None
        #: why requests are refused at the moment; None while they are taken (also during the first load).
        self._closed: NoctuleError | None = None
        self._stopped = False
        self.counts = Counts()
        self.about: Mapping[str, Any] = {}
        self.job = Job(NAME, self.run, max_age, self.stop)

    # -- any thread ----------------------------------------------------------------------------------------------

    def submit(self, ask: Ask) -> None:
        """Queue a request. Raises BusyError when the queue is full, UnavailableError when nobody would answer."""
        with self._lock:
            self.counts.received += 1
            try:
                if self._closed is not None:
                    raise self._closed
                try:
                    self._queue.put_nowait(ask)
                except queue.Full:
                    raise BusyError(
                        f"{self._queue.maxsize} requests are waiting already.", "try again soon, or raise lm.queue"
                    ) from None
            except NoctuleError as error:
                self.counts.refused += 1
                self._bus.publish("ask.refused", NAME, f"Refused a request: {error.message}", 4, code=error.code)
                raise

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def stop(self) -> None:
        """End the current request and everything that waits; the loop then sees its stop event."""
        with self._lock:
            self._stopped = True
            if self._current is not None:
                self._current.cancel("The service is stopping.")
        self._close(UnavailableError("The service is stopping."))
        with contextlib.suppress(queue.Full):  # full: the loop has something to wake up for
            self._queue.put_nowait(None)

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        """Load, then: wait for a request, answer it, beat."""
        part.expect(LOAD_LIMIT)
        try:
            engine = self._build(part)
            try:
                self.about = engine.about()
                self._open()
                while not stop.is_set():
                    part.beat()
                    try:
                        ask = self._queue.get(timeout=self._canary_every)
                    except queue.Empty:
                        engine.canary()
                        continue
                    if ask is not None:
                        self._serve(engine, ask, part)
            finally:
                self.about = {}
                engine.close()
        except NoctuleError as error:
            self._close(UnavailableError(f"The language model is out of service: {error.message}", error.hint))
            raise
        except BaseException as error:
            self._close(UnavailableError(f"The language model failed ({type(error).__name__}) and is restarted."))
            raise

    def _serve(self, engine: Engine, ask: Ask, part: Part) -> None:
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
                ask = self._queue.get_nowait()
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
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
