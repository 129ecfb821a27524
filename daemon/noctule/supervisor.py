"""Who does their work, and what happens when somebody does not. L3.

A `Part` is one line of the supervisor's book: when it last did its work and by when it must do so again. A
`Worker` is a part with a thread of its own, which the supervisor starts, restarts within a budget and stops.
A part that runs elsewhere (the event loop of the API) is only watched.

Three things can go wrong, and each is treated differently:

* a worker *ends* (an exception, or a return nobody asked for): it is restarted with backoff, at most
  `Policy.restarts` times in `Policy.window` seconds;
* it ends more often than that, or with an error that trying again at once cannot mend (`ModelError`): the part
  is *degraded*. The service stays up and says so, and tries again slowly until it works;
* it *freezes*: alive, but without work. A thread cannot be killed, so nothing in this process can help: the
  supervisor stops feeding the watchdog, and the service manager restarts the service.

So the watchdog is fed exactly while every part that should be working has worked within its time.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from noctule.clock import Clock, SystemClock
from noctule.errors import ModelError, NoctuleError
from noctule.events import Bus

STARTING = "starting"
WORKING = "working"
RESTARTING = "restarting"
DEGRADED = "degraded"
STOPPED = "stopped"

#: seconds between two looks at the parts.
TICK = 0.25
#: the pauses between degraded retries grow to this many times `Policy.retry`.
RETRY_GROWTH = 8


@dataclass(frozen=True)
class Policy:
    """How parts are brought back: restarts within window seconds, and retry seconds between later attempts."""

    restarts: int = 5
    window: float = 60.0
    retry: float = 30.0
    backoff: float = 0.25
    backoff_max: float = 5.0


class Part:
    """When one part last worked, and by when it must work again. Thread-safe."""

    def __init__(self, name: str, max_age: float, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.max_age = max_age
        self.clock = clock
        self.lock = threading.Lock()
        self.state = STARTING
        #: one sentence: why the part is not working; kept until it works again.
        self.reason = ""
        self.hint = ""
        self.restarts = 0
        self.beats = 0
        self.last_beat: float | None = None
        self._due = clock.monotonic() + max_age
        self._frozen: threading.Event | None = None
        self._changed = changed

    def beat(self) -> None:
        """Say: I did my work. (Not: I am alive.)"""
        if self._frozen is not None:
            self._frozen.wait()  # see Supervisor.freeze
        now = self.clock.monotonic()
        with self.lock:
            self.last_beat = now
            self.beats += 1
            self._due = now + self.max_age
            first = self.state == STARTING
            if first:
                self.state = WORKING
        if first:
            self._changed()

    def expect(self, seconds: float) -> None:
        """Announce one long step: the next beat may take up to `seconds` instead of `max_age`."""
        with self.lock:
            self._due = self.clock.monotonic() + max(seconds, self.max_age)

    def overdue(self, now: float) -> bool:
        """True when the part should be working and has not worked within its time."""
        with self.lock:
            return self.state in (STARTING, WORKING) and now > self._due

    def freeze(self) -> None:
        """Block the part's thread at its next beat, for ever. Only for tests of the watchdog."""
        self._frozen = threading.Event()

    def report(self, now: float) -> dict[str, Any]:
        """For `status`: state, reason, seconds since the last work, counts."""
        overdue = self.overdue(now)
        with self.lock:
            return {
                "name": self.name,
                "state": "frozen" if overdue and self.state == WORKING else self.state,
                "reason": self.reason,
                "hint": self.hint,
                "last_work_s": None if self.last_beat is None else round(now - self.last_beat, 3),
                "max_age_s": self.max_age,
                "beats": self.beats,
                "restarts": self.restarts,
            }


@dataclass(frozen=True)
class Job:
    """What a worker thread runs.

    run: the loop; gets the part (to beat) and an event that says stop; returning before it is set is a failure.
    wake: called when the worker must stop, to pull it out of whatever it waits for.
    """

    name: str
    run: Callable[[Part, threading.Event], None]
    max_age: float
    wake: Callable[[], None] = lambda: None


class Worker(Part):
    """A part with a thread."""

    def __init__(self, job: Job, clock: Clock, changed: Callable[[], None]) -> None:
        super().__init__(job.name, job.max_age, clock, changed)
        self.job = job
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.deaths: deque[float] = deque()
        self.retry_at: float | None = None
        self.failed_retries = 0

    def launch(self) -> None:
        """Start the thread."""
        self.expect(self.max_age)
        with self.lock:
            self.state = STARTING
            self.retry_at = None
            self.error = None
        self.thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self.thread.start()

    def _main(self) -> None:
        try:
            self.job.run(self, self.stop)
        except BaseException as error:  # noqa: BLE001 - whatever ends the thread is the supervisor's business
            self.error = error
        self._changed()

    @property
    def alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@dataclass
class Supervisor:
    """Owns the workers and the watchdog.

    ping: feeds the watchdog (called each tick while all is well); changed: called after a part changed its state.
    """

    bus: Bus
    policy: Policy = field(default_factory=Policy)
    clock: Clock = field(default_factory=SystemClock)
    ping: Callable[[], None] = lambda: None
    changed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._overdue: set[str] = set()
        self._degraded: set[str] = set()
        self._started: set[str] = set()
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the book ------------------------------------------------------------------------------------------------

    def watch(self, name: str, max_age: float) -> Part:
        """Keep book of a part that runs elsewhere; its owner beats."""
        part = Part(name, max_age, self.clock, self._wakeup.set)
        self._parts[name] = part
        return part

    def add(self, job: Job) -> Worker:
        """Take a worker on and start it."""
        worker = Worker(job, self.clock, self._wakeup.set)
        self._parts[job.name] = worker
        worker.launch()
        return worker

    def part(self, name: str) -> Part:
        return self._parts[name]

    def parts(self) -> list[Part]:
        return list(self._parts.values())

    def report(self) -> list[dict[str, Any]]:
        """Every part, for `status`."""
        now = self.clock.monotonic()
        return [part.report(now) for part in self.parts()]

    def troubles(self) -> list[str]:
        """One sentence for each part that is not as it should be."""
        now = self.clock.monotonic()
        frozen = [f"{p.name} has done no work for too long" for p in self.parts() if p.overdue(now)]
        return frozen + [f"{p.name}: {p.reason}" for p in self.parts() if p.reason]

    def retry(self, name: str) -> None:
        """Try a degraded part again now (the configuration or the model was changed)."""
        part = self._parts.get(name)
        if isinstance(part, Worker) and part.retry_at is not None:
            with part.lock:
                part.retry_at = self.clock.monotonic()
                part.deaths.clear()
            self._wakeup.set()

    def freeze(self, name: str) -> None:
        """Freeze a worker for real, at its next beat: the thread blocks and never comes back. For watchdog tests."""
        self._parts[name].freeze()

    # -- the watch -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin looking after the parts, every `TICK` seconds and whenever a worker ends."""
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wakeup.clear()
            self.step()
            self.clock.wait(self._wakeup, TICK)

    def step(self) -> None:
        """One look at every part."""
        now = self.clock.monotonic()
        for part in self.parts():
            if isinstance(part, Worker):
                self._look_after(part, now)
            self._look_at(part, now)
        if not any(part.overdue(now) for part in self.parts()):
            self.ping()

    def _look_at(self, part: Part, now: float) -> None:
        overdue = part.overdue(now)
        if overdue and part.name not in self._overdue:
            self._overdue.add(part.name)
            self._say("part.frozen", part, f"{part.name} has done no work for {part.max_age:g} s", level=3)
        elif not overdue and part.name in self._overdue:
            self._overdue.discard(part.name)
            self._say("part.recovered", part, f"{part.name} works again", level=5)
        if part.state == WORKING and part.name not in self._started:
            self._started.add(part.name)
            self._say("part.started", part, f"{part.name} is at work", level=7)
        with part.lock:
            recovered = part.state == WORKING and bool(part.reason)
            if recovered:
                part.reason = part.hint = ""
        if recovered:
            self._degraded.discard(part.name)
            if isinstance(part, Worker):
                part.failed_retries = 0
            self._say("part.recovered", part, f"{part.name} works again", level=5)

    def _look_after(self, worker: Worker, now: float) -> None:
        if worker.state in (STARTING, WORKING) and not worker.alive and not worker.stop.is_set():
            self._bury(worker, now)
        elif worker.retry_at is not None and now >= worker.retry_at:
            worker.restarts += 1
            worker.launch()

    def _bury(self, worker: Worker, now: float) -> None:
        """A worker ended unasked: plan what comes next, and say what happened."""
        error = worker.error
        reason, hint, fields = _describe(error)
        worker.deaths.append(now)
        while worker.deaths and worker.deaths[0] <= now - self.policy.window:
            worker.deaths.popleft()
        hopeless = isinstance(error, ModelError)
        beyond = len(worker.deaths) > self.policy.restarts
        again = worker.name in self._degraded
        if hopeless or beyond or again:
            pause = self.policy.retry * min(2**worker.failed_retries, RETRY_GROWTH)
            worker.failed_retries += 1
        else:
            pause = min(self.policy.backoff * 2 ** (len(worker.deaths) - 1), self.policy.backoff_max)
        same = worker.reason == reason
        with worker.lock:
            worker.state = DEGRADED if hopeless or beyond or again else RESTARTING
            worker.reason, worker.hint = reason, hint
            worker.retry_at = now + pause
        if worker.state == RESTARTING:
            self._say("part.failed", worker, f"{worker.name} failed: {reason}; retrying in {pause:g} s", 4, **fields)
        elif not (again and same):  # one line for each change, not one for each attempt
            self._degraded.add(worker.name)
            self._say("part.degraded", worker, f"{worker.name} is out of service: {reason}", 3, hint=hint, **fields)

    def _say(self, kind: str, part: Part, message: str, level: int, **fields: Any) -> None:
        self.bus.publish(kind, part.name, message, level=level, restarts=part.restarts, **fields)
        self.changed()

    # -- the end -------------------------------------------------------------------------------------------------

    def stop(self, timeout: float) -> list[str]:
        """Stop every worker within `timeout` seconds in all; the names of those that did not."""
        deadline = self.clock.monotonic() + timeout
        self._stopping.set()
        self._wakeup.set()
        workers = [part for part in self.parts() if isinstance(part, Worker)]
        for worker in workers:
            worker.stop.set()
            worker.job.wake()
        for thread in [worker.thread for worker in workers] + [self._thread]:
            if thread is not None:
                thread.join(max(0.0, deadline - self.clock.monotonic()))
        stuck = [worker.name for worker in workers if worker.alive]
        for part in self.parts():
            if part.name not in stuck:
                with part.lock:
                    part.state = STOPPED
        return stuck


def _describe(error: BaseException | None) -> tuple[str, str, dict[str, str]]:
    """(reason, hint, journal fields) of what ended a worker."""
    if error is None:
        return "it returned without being asked to", "", {}
    if isinstance(error, NoctuleError):
        return error.message, error.hint, {"code": error.code}
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{type(error).__name__}: {error}", "a mistake in Noctule: please report it", {"traceback": text}
