"""Parts under a manual clock: who is restarted, who is degraded, and when the watchdog goes hungry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import DeviceError, ModelError
from noctule.core.events import Bus, Event
from noctule.service.supervisor import DEGRADED, RESTARTING, STOPPED, WORKING, Job, Part, Policy, Supervisor, Worker
from waiting import WAIT


@dataclass
class Script:
    """A worker's body that a test drives: each life works, until told how to end."""

    lives: int = 0
    born: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    end: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    fail_at_once: BaseException | None = None

    def run(self, part: Part, stop: threading.Event) -> None:
        self.lives += 1
        try:
            if self.fail_at_once is not None:
                raise self.fail_at_once
            part.beat()
        finally:
            self.born.release()
        self.end.wait(WAIT)
        self.end.clear()
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        self.end.set()


class World:
    def __init__(self, policy: Policy | None = None) -> None:
        self.clock = ManualClock()
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.add_sink(self.events.append)
        self.pings = 0
        self.changes = 0
        self.supervisor = Supervisor(self.bus, policy or Policy(), self.clock, ping=self._ping, changed=self._changed)

    def _ping(self) -> None:
        self.pings += 1

    def _changed(self) -> None:
        self.changes += 1

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def step(self, seconds: float = 0.0) -> bool:
        """Advance, look once; True when the watchdog was fed."""
        self.clock.advance(seconds)
        before = self.pings
        self.supervisor.step()
        return self.pings > before

    def add(self, script: Script, max_age: float = 10.0) -> Worker:
        worker = self.supervisor.add(Job("lm", script.run, max_age, script.wake))
        assert script.born.acquire(timeout=WAIT)
        return worker

    def die(self, script: Script, worker: Worker) -> None:
        """End the worker's present life and let the supervisor find it."""
        thread = worker.thread
        assert thread is not None
        script.end.set()
        thread.join(WAIT)
        assert not thread.is_alive()
        self.step()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.clock.advance(0)
    for part in made.supervisor.parts():
        if isinstance(part, Worker):
            part.stop.set()
            part.job.wake()


def test_the_watchdog_is_fed_while_every_part_beats(world: World) -> None:
    api, ears = world.supervisor.watch("api", 5), world.supervisor.watch("ears", 10)
    api.beat()
    ears.beat()
    assert world.step(4)
    api.beat()
    assert world.step(4)


def test_one_silent_part_starves_the_watchdog_until_it_works_again(world: World) -> None:
    api, ears = world.supervisor.watch("api", 5), world.supervisor.watch("ears", 10)
    api.beat()
    ears.beat()
    assert not world.step(5.1)
    assert world.kinds().count("part.frozen") == 1
    assert not world.step(1)
    assert world.kinds().count("part.frozen") == 1, "said once, not at each look"
    assert world.supervisor.report()[0]["state"] == "frozen"
    assert world.supervisor.troubles() == ["api has done no work for too long"]
    api.beat()
    ears.beat()
    assert world.step()
    assert world.kinds()[-1] == "part.recovered"
    assert world.supervisor.troubles() == []


def test_a_part_that_never_begins_to_work_starves_the_watchdog(world: World) -> None:
    world.supervisor.watch("api", 5)
    assert world.step(4)
    assert not world.step(2)


def test_a_long_step_may_be_announced(world: World) -> None:
    part = world.supervisor.watch("lm", 5)
    part.expect(300)
    assert world.step(299)
    part.beat()
    assert world.step(4)
    assert not world.step(2), "after a beat the usual age counts again"


def test_announcing_less_than_the_usual_age_changes_nothing(world: World) -> None:
    part = world.supervisor.watch("lm", 5)
    part.expect(1)
    assert world.step(4.9)


def test_a_worker_that_dies_is_restarted_with_growing_pauses(world: World) -> None:
    script = Script(error=OSError("cable pulled"))
    worker = world.add(script)
    pauses = []
    for life in range(2, 5):
        world.die(script, worker)
        assert worker.state == RESTARTING
        assert "cable pulled" in worker.reason
        assert worker.retry_at is not None
        pauses.append(worker.retry_at - world.clock.monotonic())
        world.step(pauses[-1] - 0.01)
        assert script.lives == life - 1, "not before its time"
        world.step(0.02)
        assert script.born.acquire(timeout=WAIT)
        assert script.lives == life
    assert pauses == pytest.approx([0.25, 0.5, 1.0])
    world.step()
    assert worker.state == WORKING
    assert worker.reason == ""
    assert worker.restarts == 3
    assert world.kinds().count("part.failed") == 3
    assert world.kinds()[-1] == "part.recovered"


def test_a_restarting_part_does_not_starve_the_watchdog(world: World) -> None:
    script = Script(error=OSError("x"))
    world.add(script)
    world.die(script, world.supervisor.part("lm"))  # type: ignore[arg-type]
    assert world.step(0.1)


def test_returning_unasked_is_a_failure(world: World) -> None:
    script = Script()
    worker = world.add(script)
    world.die(script, worker)
    assert worker.state == RESTARTING
    assert "without being asked" in worker.reason


def test_a_bug_is_reported_with_its_traceback(world: World) -> None:
    script = Script(error=KeyError("logits"))
    world.die(script, world.add(script))
    failed = next(e for e in world.events if e.kind == "part.failed")
    assert "KeyError" in failed.message
    assert "Traceback" in failed.fields["traceback"]
    assert failed.level == 4


def exhaust(world: World, script: Script, worker: Worker, deaths: int = 6) -> None:
    for n in range(deaths):
        world.die(script, worker)
        if n < deaths - 1:
            assert worker.state == RESTARTING, n
            world.step(5.0)
            assert script.born.acquire(timeout=WAIT)


def test_beyond_the_budget_the_part_is_degraded_and_the_service_stays(world: World) -> None:
    script = Script(error=DeviceError("The microphone is gone.", "plug it in"))
    worker = world.add(script)
    exhaust(world, script, worker)
    assert worker.state == DEGRADED
    assert world.kinds().count("part.degraded") == 1
    assert world.step(1), "a known failure is not a frozen one: the watchdog is fed"
    report = world.supervisor.report()[0]
    assert (report["reason"], report["hint"]) == ("The microphone is gone.", "plug it in")
    assert world.supervisor.troubles() == ["lm: The microphone is gone."]


def test_a_degraded_part_is_tried_again_slowly_and_recovers(world: World) -> None:
    script = Script(error=DeviceError("The microphone is gone."))
    worker = world.add(script)
    exhaust(world, script, worker)
    lives = script.lives
    world.step(29)
    assert script.lives == lives
    script.fail_at_once = DeviceError("The microphone is gone.")
    world.step(2)
    assert script.born.acquire(timeout=WAIT)
    assert worker.thread is not None
    worker.thread.join(WAIT)
    world.step()
    assert worker.state == DEGRADED
    assert world.kinds().count("part.degraded") == 1, "one line for the change, not one for each attempt"
    assert worker.retry_at is not None
    assert worker.retry_at - world.clock.monotonic() == pytest.approx(60), "the pause grows"
    script.fail_at_once = None
    world.step(61)
    assert script.born.acquire(timeout=WAIT)
    world.step()
    assert worker.state == WORKING
    assert world.kinds()[-1] == "part.recovered"
    assert world.supervisor.troubles() == []


def test_the_pause_of_a_degraded_part_has_a_largest_value(world: World) -> None:
    script = Script(fail_at_once=ModelError("No such model."))
    worker = world.supervisor.add(Job("lm", script.run, 10))
    for _ in range(8):
        assert script.born.acquire(timeout=WAIT)
        assert worker.thread is not None
        worker.thread.join(WAIT)
        world.step()
        assert worker.retry_at is not None
        pause = worker.retry_at - world.clock.monotonic()
        world.step(pause)
    assert pause == pytest.approx(240)


def test_a_changed_reason_is_said_again(world: World) -> None:
    script = Script(fail_at_once=ModelError("No such model."))
    worker = world.supervisor.add(Job("lm", script.run, 10))
    for error in ("No such model.", "The sha256 differs."):
        script.fail_at_once = ModelError(error)
        if script.lives:
            world.supervisor.retry("lm")
            world.step()
        assert script.born.acquire(timeout=WAIT)
        if script.lives == 1:
            script.fail_at_once = ModelError("The sha256 differs.")
        assert worker.thread is not None
        worker.thread.join(WAIT)
        world.step()
    assert [e.message for e in world.events if e.kind == "part.degraded"] == [
        "lm is out of service: No such model.",
        "lm is out of service: The sha256 differs.",
    ]


def test_an_error_that_repetition_cannot_mend_degrades_at_once(world: World) -> None:
    script = Script(fail_at_once=ModelError("No model noctule-tiny.", "put it below models"))
    worker = world.add(script)
    assert worker.thread is not None
    worker.thread.join(WAIT)
    world.step()
    assert worker.state == DEGRADED
    assert script.lives == 1


def test_retry_brings_a_degraded_part_back_at_once(world: World) -> None:
    script = Script(fail_at_once=ModelError("No model."))
    worker = world.add(script)
    assert worker.thread is not None
    worker.thread.join(WAIT)
    world.step()
    script.fail_at_once = None
    world.supervisor.retry("lm")
    world.step()
    assert script.born.acquire(timeout=WAIT)
    world.step()
    assert worker.state == WORKING


def test_retry_leaves_working_and_unknown_parts_alone(world: World) -> None:
    script = Script()
    world.add(script)
    world.supervisor.retry("lm")
    world.supervisor.retry("nobody")
    world.step()
    assert script.lives == 1


def test_deaths_outside_the_window_are_forgotten(world: World) -> None:
    script = Script(error=OSError("x"))
    worker = world.add(script)
    for _ in range(10):
        world.die(script, worker)
        assert worker.state == RESTARTING
        world.step(20)
        assert script.born.acquire(timeout=WAIT)


def test_a_frozen_worker_blocks_for_real_and_starves_the_watchdog(world: World) -> None:
    entered, left = threading.Event(), threading.Event()

    def run(part: Part, stop: threading.Event) -> None:
        part.beat()
        world.supervisor.freeze("lm")
        entered.set()
        part.beat()
        left.set()

    worker = world.supervisor.add(Job("lm", run, 10))
    assert entered.wait(WAIT)
    assert not left.wait(0.05)
    assert world.step(9)
    assert not world.step(2)
    assert "part.frozen" in world.kinds()
    worker.stop.set()


def started(run: Callable[[Part, threading.Event], None], wake: Callable[[], None]) -> Supervisor:
    supervisor = Supervisor(Bus(), clock=SystemClock())
    supervisor.add(Job("lm", run, 10, wake))
    supervisor.start()
    return supervisor


def test_stop_ends_the_workers_and_the_watch() -> None:
    released = threading.Event()
    supervisor = started(lambda part, stop: (part.beat(), released.wait(WAIT), None)[2], released.set)
    assert supervisor.stop(WAIT) == {}
    assert supervisor.report()[0]["state"] == STOPPED


def test_stop_names_what_does_not_end() -> None:
    never, entered = threading.Event(), threading.Event()

    def run(part: Part, stop: threading.Event) -> None:
        entered.set()
        never.wait(WAIT)

    supervisor = started(run, lambda: None)
    assert entered.wait(WAIT)
    stuck = supervisor.stop(0.05)
    assert list(stuck) == ["lm"]
    assert " < test_supervisor.py:" in stuck["lm"], "it says where"
    never.set()


def test_the_running_watch_restarts_a_dead_worker_without_being_stepped() -> None:
    lives, second = [], threading.Event()
    stop_all = threading.Event()

    def run(part: Part, stop: threading.Event) -> None:
        lives.append(1)
        part.beat()
        if len(lives) == 1:
            raise OSError("first life ends")
        second.set()
        stop_all.wait(WAIT)

    supervisor = started(run, stop_all.set)
    assert second.wait(WAIT)
    assert supervisor.stop(WAIT) == {}
