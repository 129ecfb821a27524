"""The language worker: queue, cancel, time, canary, and what a failing engine costs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from noctule.assistant.worker import LanguageWorker
from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import BusyError, CancelledError, InputError, ModelError, NoctuleError, UnavailableError
from noctule.core.events import Bus, Event
from noctule.service.request import Ask
from noctule.service.supervisor import Part
from waiting import WAIT


class FakeEngine:
    """Answers by the function a test gives; counts canaries."""

    def __init__(self) -> None:
        self.respond: Callable[[Ask], Mapping[str, Any]] = lambda ask: {"reply": ask.text.upper()}
        self.canaries = threading.Semaphore(0)
        self.canary_error: Exception | None = None
        self.closed = 0

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        return self.respond(ask)

    def canary(self) -> None:
        if self.canary_error is not None:
            raise self.canary_error
        self.canaries.release()

    def about(self) -> Mapping[str, Any]:
        return {"model": "fake"}

    def close(self) -> None:
        self.closed += 1


class World:
    def __init__(self, size: int = 2, max_age: float = 60.0) -> None:
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.add_sink(self.events.append)
        self.clock = SystemClock()
        self.engine = FakeEngine()
        self.load_error: Exception | None = None
        self.built = threading.Semaphore(0)
        self.worker = LanguageWorker(self._build, self.bus, self.clock, size=size, max_age=max_age)
        self.part = Part("lm", 60, self.clock)
        self.stop = threading.Event()
        self.error: BaseException | None = None

    def _build(self, part: Part) -> FakeEngine:
        self.built.release()
        if self.load_error is not None:
            raise self.load_error
        return self.engine

    def _run(self) -> None:
        try:
            self.worker.run(self.part, self.stop)
        except BaseException as error:  # noqa: BLE001 - as the supervisor does
            self.error = error

    def start(self) -> World:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def end(self) -> None:
        self.stop.set()
        self.worker.stop()
        self.thread.join(WAIT)
        assert not self.thread.is_alive()

    def ask(self, text: str = "hello", emit: Callable[[str], None] = lambda piece: None) -> Ask:
        return Ask(text, emit, self.clock.monotonic() + WAIT, self.clock)

    def put(self, text: str = "hello") -> Ask:
        ask = self.ask(text)
        self.worker.submit(ask)
        return ask


@pytest.fixture
def world() -> Iterator[World]:
    made = World().start()
    yield made
    made.end()


def test_a_request_is_answered_and_told_to_the_journal(world: World) -> None:
    assert world.put().result.result(WAIT) == {"reply": "HELLO"}
    assert world.worker.about == {"model": "fake", "loaded": True, "load_s": world.worker.about["load_s"]}
    assert world.worker.counts.answered == 1
    event = next(e for e in world.events if e.kind == "ask.answered")
    assert event.fields["reply"] == "HELLO", "a private field, so it stays out of the journal"
    assert event.fields["seconds"] >= 0
    assert "HELLO" not in event.message


def test_an_idle_worker_runs_the_canary_and_beats() -> None:
    world = World(max_age=0.03).start()
    assert world.engine.canaries.acquire(timeout=WAIT)
    assert world.engine.canaries.acquire(timeout=WAIT)
    assert world.part.beats >= 2
    world.end()
    assert world.engine.closed == 1


def test_a_failing_canary_ends_the_worker() -> None:
    world = World(max_age=0.03)
    world.engine.canary_error = ModelError("The logits are not numbers.")
    world.start()
    world.thread.join(WAIT)
    assert isinstance(world.error, ModelError)
    with pytest.raises(UnavailableError, match="not numbers"):
        world.put()


def test_an_error_of_one_request_does_not_concern_the_next(world: World) -> None:
    def respond(ask: Ask) -> Mapping[str, Any]:
        if ask.text == "bad":
            raise InputError("The request is made of special tokens only.")
        return {"reply": "fine"}

    world.engine.respond = respond
    with pytest.raises(InputError, match="special tokens"):
        world.put("bad").result.result(WAIT)
    assert world.put("good").result.result(WAIT) == {"reply": "fine"}
    assert (world.worker.counts.failed, world.worker.counts.answered) == (1, 1)
    failed = next(e for e in world.events if e.kind == "ask.failed")
    assert (failed.level, failed.fields["code"]) == (4, "input")


def test_a_full_queue_refuses_and_counts(world: World) -> None:
    entered, release = threading.Event(), threading.Event()

    def respond(ask: Ask) -> Mapping[str, Any]:
        entered.set()
        release.wait(WAIT)
        return {"reply": ""}

    world.engine.respond = respond
    asks = [world.put()]
    assert entered.wait(WAIT)
    asks += [world.put(), world.put()]
    assert world.worker.waiting == 2
    with pytest.raises(BusyError, match="2 requests are waiting"):
        world.put()
    assert world.worker.counts.refused == 1
    assert any(e.kind == "ask.refused" for e in world.events)
    release.set()
    for ask in asks:
        ask.result.result(WAIT)


def test_cancel_ends_a_request_at_the_next_token(world: World) -> None:
    tokens: list[int] = []
    entered = threading.Event()

    def respond(ask: Ask) -> Mapping[str, Any]:
        while ask.going_on():
            tokens.append(1)
            entered.set()
        return {"reply": "partial"}

    world.engine.respond = respond
    ask = world.put()
    assert entered.wait(WAIT)
    ask.cancel("The client went away.")
    with pytest.raises(CancelledError, match="went away"):
        ask.result.result(WAIT)
    assert world.worker.counts.cancelled == 1
    assert world.part.beats > 1, "each token is a beat"


def test_a_request_cancelled_while_it_waits_is_never_begun(world: World) -> None:
    begun: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def respond(ask: Ask) -> Mapping[str, Any]:
        begun.append(ask.text)
        entered.set()
        release.wait(WAIT)
        return {"reply": ""}

    world.engine.respond = respond
    first = world.put("first")
    assert entered.wait(WAIT)
    second = world.put("second")
    second.cancel("The client went away.")
    release.set()
    first.result.result(WAIT)
    with pytest.raises(CancelledError):
        second.result.result(WAIT)
    assert begun == ["first"]


def test_a_client_that_no_longer_waits_for_the_outcome_does_no_harm(world: World) -> None:
    entered, release = threading.Event(), threading.Event()

    def respond(ask: Ask) -> Mapping[str, Any]:
        entered.set()
        release.wait(WAIT)
        return {"reply": ""}

    world.engine.respond = respond
    ask = world.put()
    assert entered.wait(WAIT)
    assert ask.result.cancel()
    release.set()
    assert world.put().result.result(WAIT) == {"reply": ""}


def test_time_counts_from_the_asking() -> None:
    clock = ManualClock()
    ask = Ask("x", lambda piece: None, clock.monotonic() + 5, clock)
    assert ask.going_on()
    ask.check()
    clock.advance(5)
    assert not ask.going_on()
    assert ask.timed_out
    with pytest.raises(UnavailableError, match="time was over"):
        ask.check()


def test_an_answer_cut_off_by_time_is_still_an_answer(world: World) -> None:
    def respond(ask: Ask) -> Mapping[str, Any]:
        while ask.going_on():
            pass
        return {"reply": "as far as I g", "finish": "timeout"}

    world.engine.respond = respond
    ask = Ask("x", lambda piece: None, world.clock.monotonic() + 0.02, world.clock)
    world.worker.submit(ask)
    assert ask.result.result(WAIT)["finish"] == "timeout"


def test_stopping_ends_the_current_request_and_those_that_wait() -> None:
    world = World().start()
    entered = threading.Event()

    def respond(ask: Ask) -> Mapping[str, Any]:
        while ask.going_on():
            entered.set()
        return {"reply": "partial"}

    world.engine.respond = respond
    current = world.put()
    assert entered.wait(WAIT)
    waiting = world.put()
    world.end()
    for ask in (current, waiting):
        with pytest.raises(NoctuleError, match="stopping"):
            ask.result.result(WAIT)
    with pytest.raises(UnavailableError, match="stopping"):
        world.put()
    assert world.error is None
    assert world.engine.closed == 1


def test_a_bug_in_the_engine_fails_the_request_and_the_worker() -> None:
    world = World().start()

    def respond(ask: Ask) -> Mapping[str, Any]:
        raise IndexError("slot 512")

    world.engine.respond = respond
    ask = world.put()
    with pytest.raises(UnavailableError, match="failed on this request"):
        ask.result.result(WAIT)
    world.thread.join(WAIT)
    assert isinstance(world.error, IndexError)
    assert world.engine.closed == 1
    with pytest.raises(UnavailableError, match="IndexError"):
        world.put()
    # ... and the next life takes requests again
    world.engine.respond = lambda ask: {"reply": "back"}
    world.start()
    assert world.built.acquire(timeout=WAIT)
    assert world.built.acquire(timeout=WAIT)
    for _ in range(1000):
        try:
            assert world.put().result.result(WAIT) == {"reply": "back"}
            break
        except UnavailableError:
            threading.Event().wait(0.001)
    else:
        pytest.fail("the worker did not come back")
    world.end()


def test_a_model_that_cannot_be_loaded_is_the_answer_to_every_request() -> None:
    world = World()
    world.load_error = ModelError("No model noctule-tiny.", "build it")
    waiting = world.put()  # asked while loading
    world.start()
    with pytest.raises(UnavailableError, match="No model noctule-tiny") as error:
        waiting.result.result(WAIT)
    assert error.value.hint == "build it"
    world.thread.join(WAIT)
    assert isinstance(world.error, ModelError)
    with pytest.raises(UnavailableError, match="No model noctule-tiny"):
        world.put()


def test_requests_of_the_first_load_wait_for_it() -> None:
    world = World()
    ask = world.put()
    world.start()
    assert ask.result.result(WAIT) == {"reply": "HELLO"}
    world.end()


def test_pieces_reach_the_asker(world: World) -> None:
    pieces: list[str] = []

    def respond(ask: Ask) -> Mapping[str, Any]:
        ask.emit("a")
        ask.emit("b")
        return {"reply": "ab"}

    world.engine.respond = respond
    ask = world.ask(emit=pieces.append)
    world.worker.submit(ask)
    ask.result.result(WAIT)
    assert pieces == ["a", "b"]


def test_an_ask_is_its_own_future() -> None:
    clock = ManualClock()
    one, other = (Ask("x", lambda piece: None, 0, clock) for _ in range(2))
    assert isinstance(one.result, Future)
    assert one.result is not other.result
    assert one != other
