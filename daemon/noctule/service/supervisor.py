"""Who does their work, and what happens when somebody does not.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import ModelError, NoctuleError
from noctule.core.events import Bus
from noctule.service.part import DEGRADED, RESTARTING, STARTING, STOPPED, WORKING, Job, Part, Worker

__all__ = [
    "DEGRADED", "RESTARTING", "STARTING", "STOPPED", "WORKING", "Job", "Part", "Policy", "Supervisor", "Worker",
]  # fmt: skip

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
        if name in self._parts:
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
            where = part.where() if isinstance(part, Worker) else ""
            text = f"{part.name} has done no work for {part.max_age:g} s" + (f"; it is at {where}" if where else "")
            self._say("part.frozen", part, text, level=3)
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
        elif worker.retry_at is not None and (now >= worker.retry_at or worker.job.again()):
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

    def stop(self, timeout: float) -> dict[str, str]:
        """Stop every worker within `timeout` seconds in all; those that did not -> what they are at."""
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
        stuck = {worker.name: worker.where() for worker in workers if worker.alive}
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
