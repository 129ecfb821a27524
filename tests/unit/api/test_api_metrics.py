"""/metrics as Prometheus' own parser reads it, from a service that really served."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from api_world import status_of_a_service
from app_world import World
from prometheus_client.parser import text_string_to_metric_families

from noctule.api.routes.metrics import BUCKETS, MAX_VALUES, Meters, render
from noctule.core.errors import InputError, NoctuleError
from noctule.core.events import Bus, Event

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    return made


def read(text: str) -> Samples:
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families), "each family once"
    assert all(family.documentation for family in families)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_a_service_that_served_is_counted(world: World) -> None:
    def answer(ask: Any) -> dict[str, Any]:
        if ask.text == "bad":
            raise InputError("no")
        return {"reply": "x", "tokens": {"prompt": 7, "completion": 3}}

    world.answer = answer

    def script() -> None:
        world.until("service.ready")
        for text in ("a", "b", "bad"):
            with pytest.raises(NoctuleError) if text == "bad" else contextlib.nullcontext():
                world.client().post("/ask", {"text": text, "stream": False})
        found = read(world.client().fetch("/metrics").decode())

        def one(name: str, **labels: str) -> float:
            return found[name, tuple(sorted(labels.items()))]

        assert one("noctule_info", version=world.client().get("/status")["version"], model="fake") == 1
        assert one("noctule_requests_received_total") == 3
        assert one("noctule_requests_total", outcome="answered") == 2
        assert one("noctule_requests_total", outcome="failed") == 1
        assert one("noctule_request_failures_total", code="input") == 1
        assert one("noctule_tokens_total", kind="prompt") == 14
        assert one("noctule_tokens_total", kind="completion") == 6
        assert one("noctule_request_seconds_count") == 2
        assert one("noctule_request_seconds_bucket", le="+Inf") == 2
        assert one("noctule_state", state="ready") == 1
        assert one("noctule_state", state="degraded") == 0
        for part in ("api", "lm", "timers"):
            assert one("noctule_part_state", part=part, state="working") == 1
            assert one("noctule_part_state", part=part, state="frozen") == 0
            assert one("noctule_part_restarts_total", part=part) == 0
        assert one("noctule_resident_memory_bytes") > 1e6
        assert one("noctule_events_dropped_total") == 0
        assert one("noctule_api_clients") == 1, "this one"

    world.run(script)


def test_the_histogram_is_cumulative_and_its_bounds_are_inclusive() -> None:
    meters = Meters()
    for seconds in (0.025, 0.03, 61.0):
        meters(Event("ask.answered", "lm", "", {"seconds": seconds}))
    found = read(render(status_of_a_service(), meters, 0))
    counts = [found["noctule_request_seconds_bucket", (("le", f"{bound:g}"),)] for bound in BUCKETS]
    assert counts == [1, *[2] * (len(BUCKETS) - 1)]
    assert found["noctule_request_seconds_bucket", (("le", "+Inf"),)] == 3
    assert found["noctule_request_seconds_sum", ()] == pytest.approx(61.055)


def test_actions_wake_words_and_drops_are_counted() -> None:
    meters, bus = Meters(), Bus()
    bus.add_sink(meters)
    with bus.subscribe(size=1):
        bus.publish("action.done", "brain", "", action="timer.set", arguments="secret words")
        bus.publish("action.failed", "brain", "", action="timer.set")
        bus.publish("wake.heard", "wake", "", word='odd "name"\\\n')
        bus.publish("session.turn", "turns", "", turn=3, total_ms=2100, reply="secret reply")
        bus.publish("session.failed", "turns", "", turn=4, total_ms=100)
        bus.publish("session.failed", "session", "no ledger: nobody was served")
    last = {"turn": 3, "outcome": "turn", "wake_ms": 12, "sound_ms": 480, "total_ms": 2100}
    ears = {"state": "wrong rate", "level_db": -31.5, "gaps": 2, "last_turn": last}
    text = render(status_of_a_service(ears=ears), meters, bus.dropped)
    found = read(text)
    assert "secret" not in text
    assert found["noctule_actions_total", (("action", "timer.set"), ("outcome", "done"))] == 1
    assert found["noctule_actions_total", (("action", "timer.set"), ("outcome", "failed"))] == 1
    assert found["noctule_wake_heard_total", (("word", 'odd "name"\\\n'),)] == 1
    assert found["noctule_events_dropped_total", ()] == 5
    assert found["noctule_turns_total", (("outcome", "turn"),)] == 1
    assert found["noctule_turns_total", (("outcome", "failed"),)] == 1
    assert found["noctule_last_turn_milliseconds", (("stage", "sound"),)] == 480
    assert found["noctule_last_turn_milliseconds", (("stage", "total"),)] == 2100
    assert found["noctule_ears_state", (("state", "wrong rate"),)] == 1
    assert found["noctule_ears_state", (("state", "ok"),)] == 0
    assert found["noctule_ears_level_decibels", ()] == -31.5


def test_a_label_cannot_grow_without_bound() -> None:
    meters = Meters()
    for number in range(MAX_VALUES * 3):
        meters(Event("wake.heard", "wake", "", {"word": f"word{number}"}))
    counts = meters.counts("wake")
    assert len(counts) <= MAX_VALUES + 1
    assert counts["other"] == MAX_VALUES * 2


def test_what_the_board_does_not_know_is_left_out() -> None:
    text = render(status_of_a_service(), Meters(), 0)
    assert "temperature" not in text
    assert "resident" not in text
    assert "noctule_ears" not in text
    assert "noctule_temperature_celsius 48.5" in render(
        status_of_a_service(board={"temperature_c": 48.5}), Meters(), 0
    )
