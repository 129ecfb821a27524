"""The place of the language engine: what a new engine is told before it serves, and one that comes too late."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from noctule.assistant.engine_slot import EngineSlot
from noctule.core.clock import ManualClock
from noctule.core.errors import UnavailableError
from noctule.core.events import Bus
from noctule.service.part import Part
from waiting import WAIT


class Engine:
    """Counts what is done with it."""

    def __init__(self) -> None:
        self.leaned: list[bool] = []
        self.closed = threading.Event()

    def about(self) -> Mapping[str, Any]:
        return {"model": "fake", "context": 512}

    def lean(self, on: bool) -> int:
        self.leaned.append(on)
        return 64 if on else 512

    def close(self) -> None:
        self.closed.set()


class Slow:
    """Builds an engine once it may."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.begun, self.may = threading.Event(), threading.Event()

    def __call__(self, part: Part) -> Any:
        self.begun.set()
        assert self.may.wait(WAIT)
        return self.engine


def slot_of(build: Any) -> EngineSlot:
    return EngineSlot(build, Bus(), ManualClock())


def part() -> Part:
    return Part("lm", 10.0, ManualClock())


def test_the_first_request_after_a_load_has_the_context_that_is_wanted() -> None:
    engine = Engine()
    slot = slot_of(lambda part: engine)
    slot.lean(True)  # while nothing is loaded
    assert slot.ensure(part()) is engine  # type: ignore[comparison-overlap]
    assert engine.leaned == [True]
    assert slot.about["context"] == 64
    # Said once: the next request finds it done.
    slot.ensure(part())
    assert engine.leaned == [True]


def test_an_engine_that_is_built_when_the_service_stops_is_closed() -> None:
    slow = Slow()
    slot = slot_of(slow)
    outcome = slot.exchange(part())
    assert slow.begun.wait(WAIT)
    slot.abandon()
    slow.may.set()
    with pytest.raises(UnavailableError, match="stopping"):
        outcome.result(WAIT)
    assert slow.engine.closed.wait(WAIT)


def test_an_engine_that_waited_when_the_service_stops_is_closed_once() -> None:
    slow = Slow()
    woken = threading.Event()
    slot = EngineSlot(slow, Bus(), ManualClock(), wake=woken.set)
    slow.may.set()
    outcome = slot.exchange(part())
    assert woken.wait(WAIT)
    slot.abandon()
    with pytest.raises(UnavailableError, match="stopping"):
        outcome.result(WAIT)
    assert slow.engine.closed.is_set()
