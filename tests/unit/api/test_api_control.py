"""What the control API answers to those who behave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_world import ApiWorld

from noctule.core.errors import BusyError, CancelledError, ConfigError, InputError, NoctuleError, UnavailableError
from noctule.service.request import Ask
from waiting import WAIT


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiWorld]:
    with ApiWorld(tmp_path) as world:
        yield world


def test_health_status_and_help(api: ApiWorld) -> None:
    client = api.client()
    assert client.get("/health") == {"ok": True}
    assert client.get("/status") == {"state": "ready"}
    told = client.get("/help")["help"]
    assert any("POST /ask" in line for line in told)
    assert any(line.startswith("GET  /help") for line in told)


def test_ask_in_one_object(api: ApiWorld) -> None:
    assert api.client().post("/ask", {"text": " what\ntime ", "stream": False}) == {"reply": "you said what time"}


def test_ask_streams_the_pieces_as_they_are_made(api: ApiWorld) -> None:
    seen_first = threading.Event()

    def answer(ask: Ask) -> dict[str, object]:
        ask.emit("It is ")
        assert seen_first.wait(WAIT), "the first piece must arrive before the second is made"
        ask.emit("noon — mittags.")
        return {"reply": "It is noon — mittags.", "tokens": 7}

    api.answer = answer
    lines = api.client().stream("POST", "/ask", {"text": "time"})
    assert next(lines) == {"delta": "It is "}
    seen_first.set()
    assert list(lines) == [
        {"delta": "noon — mittags."},
        {"done": True, "reply": "It is noon — mittags.", "tokens": 7},
    ]


def test_an_error_before_the_first_piece_has_its_status(api: ApiWorld) -> None:
    def answer(ask: Ask) -> dict[str, object]:
        raise UnavailableError("No camera is configured.", "see [capture]")

    api.answer = answer
    status, body = api.post("/ask", b'{"text": "picture"}')
    assert status == 503
    assert body["error"] == {"code": "unavailable", "message": "No camera is configured.", "hint": "see [capture]"}


def test_an_error_after_the_first_piece_is_the_last_line(api: ApiWorld) -> None:
    def answer(ask: Ask) -> dict[str, object]:
        ask.emit("It is ")
        raise CancelledError("The service is stopping.")

    api.answer = answer
    lines = api.client().stream("POST", "/ask", {"text": "time"})
    assert next(lines) == {"delta": "It is "}
    with pytest.raises(CancelledError, match="stopping"):
        next(lines)


def test_a_full_queue_is_503_with_retry_after(api: ApiWorld) -> None:
    api.submit_error = BusyError("8 requests are waiting already.")
    with pytest.raises(BusyError, match="waiting already"):
        api.client().post("/ask", {"text": "time"})


def test_a_client_that_leaves_cancels_its_request(api: ApiWorld) -> None:
    begun, ended = threading.Event(), threading.Event()
    went_on: list[bool] = []

    def answer(ask: Ask) -> dict[str, object]:
        ask.emit("one ")
        begun.set()
        while ask.going_on() and not ended.wait(0.005):
            pass
        went_on.append(ask.going_on())
        ended.set()
        return {"reply": ""}

    api.answer = answer
    with api.connection() as sock:
        body = b'{"text": "tell me everything"}'
        sock.sendall(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert sock.recv(1)
        assert begun.wait(WAIT)
    assert ended.wait(WAIT), "the request goes on although nobody listens"
    assert went_on == [False]


def test_a_worker_that_never_answers_is_given_up(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noctule.api.ask.GRACE", 0.05)
    api.timeout = 0.05
    api.answer = lambda ask: {"reply": ""} if threading.Event().wait(WAIT) else {}
    for stream in (True, False):
        with pytest.raises(UnavailableError, match="no answer in time"):
            api.client().post("/ask", {"text": "time", "stream": stream})


@pytest.mark.parametrize("timeout", [0, -1, 31, float("nan"), float("inf")])
def test_a_timeout_out_of_bounds_is_refused(api: ApiWorld, timeout: float) -> None:
    with pytest.raises(InputError, match="timeout must be above 0 and at most 30"):
        api.client().post("/ask", {"text": "time", "timeout": timeout})


def test_a_timeout_shortens_the_deadline(api: ApiWorld) -> None:
    left = []

    def answer(ask: Ask) -> dict[str, object]:
        left.append(ask.deadline - ask.clock.monotonic())
        return {"reply": ""}

    api.answer = answer
    api.client().post("/ask", {"text": "time", "timeout": 2, "stream": False})
    assert 0 < left[0] <= 2


def test_a_reader_far_behind_is_given_up_instead_of_remembered(
    api: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noctule.api.ask.DELTA_QUEUE", 2)
    api.loop.call_soon_threadsafe(lambda: None)
    flooded = threading.Event()

    def answer(ask: Ask) -> dict[str, object]:
        # While the loop is held, pieces can only pile up.
        held, release = threading.Event(), threading.Event()
        api.loop.call_soon_threadsafe(lambda: (held.set(), release.wait(WAIT)))
        assert held.wait(WAIT)
        for _ in range(10):
            ask.emit("x")
        release.set()
        while ask.going_on():
            threading.Event().wait(0.005)
        flooded.set()
        return {"reply": "x"}

    api.answer = answer
    list(api.client().stream("POST", "/ask", {"text": "time"}))
    assert flooded.wait(WAIT)


def test_reload_says_what_it_did(api: ApiWorld) -> None:
    assert api.client().post("/reload") == {"applied": ["lm.top_k"], "failed": {}, "restart": []}
    assert api.post("/reload", b"")[0] == 200


def test_reload_hands_every_mistake_back(api: ApiWorld) -> None:
    api.reload_error = ConfigError(["a.toml:1: lm.x: unknown key", "a.toml:2: lm.y: unknown key"], "not applied")
    with pytest.raises(ConfigError) as error:
        api.client().post("/reload")
    assert error.value.problems == ["a.toml:1: lm.x: unknown key", "a.toml:2: lm.y: unknown key"]
    assert error.value.exit_code == 78


def test_events_stream_as_they_happen(api: ApiWorld) -> None:
    lines = api.client().stream("GET", "/events")
    assert next(lines)["kind"] == "stream.opened"
    api.bus.publish("timer.fired", "timers", "The pasta timer is over", name="pasta")
    event = next(lines)
    assert (event["kind"], event["part"], event["fields"]) == ("timer.fired", "timers", {"name": "pasta"})
    lines.close()  # type: ignore[attr-defined]


def test_a_quiet_stream_has_a_heartbeat(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, heartbeat=0.01) as api:
        lines = api.client().stream("GET", "/events")
        assert next(lines)["kind"] == "stream.opened"
        assert next(lines)["kind"] == "stream.heartbeat"
        lines.close()  # type: ignore[attr-defined]


def test_dropped_events_are_counted_in_the_stream(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noctule.api.control.EVENT_QUEUE", 4)
    lines = api.client().stream("GET", "/events")
    assert next(lines)["kind"] == "stream.opened"
    held, release = threading.Event(), threading.Event()
    api.loop.call_soon_threadsafe(lambda: (held.set(), release.wait(WAIT)))
    assert held.wait(WAIT)
    for number in range(10):
        api.bus.publish("timer.fired", "timers", str(number))
    release.set()
    got = [next(lines) for _ in range(5)]
    assert [line.get("message") for line in got[:4]] == ["6", "7", "8", "9"]
    assert got[4] == {"kind": "stream.dropped", "dropped": 6}
    lines.close()  # type: ignore[attr-defined]


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noctule.api.http.json.WRITE_TIMEOUT", 0.05)
    with ApiWorld(tmp_path) as api, api.connection() as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1)
        gone = threading.Event()

        def poll() -> None:
            if api.server.door.clients == 0:
                gone.set()
            else:
                api.loop.call_later(0.005, poll)

        for _ in range(20):  # far more than the socket's and the transport's buffers hold
            api.bus.publish("timer.fired", "timers", "x" * 200_000)
        api.loop.call_soon_threadsafe(poll)
        assert gone.wait(WAIT), "the connection is kept although nobody reads"
        assert not any("failed" in event.message for event in api.events), "a slow client is no mistake of ours"


def test_the_stream_of_events_ends_when_the_service_stops(tmp_path: Path) -> None:
    with ApiWorld(tmp_path) as api:
        lines = api.client().stream("GET", "/events")
        assert next(lines)["kind"] == "stream.opened"
        api.loop.call_soon_threadsafe(api.server.close)
        assert list(lines) == [{"kind": "stream.closed"}]


def test_two_requests_on_one_connection(api: ApiWorld) -> None:
    from api_world import read_answer

    with api.connection() as sock:
        for _ in range(2):
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(sock) == (200, {"ok": True})


def test_a_bug_in_a_handler_costs_one_answer_and_is_reported(api: ApiWorld) -> None:
    def broken() -> dict[str, object]:
        raise KeyError("temperature")

    api.status = broken
    status, body = api.raw(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 500
    assert "temperature" not in json.dumps(body)
    assert any("KeyError" in event.message for event in api.events)
    api.status = lambda: {"state": "ready"}
    assert api.client().get("/status") == {"state": "ready"}


def test_every_error_of_the_family_has_a_status() -> None:
    kinds = [NoctuleError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert all(400 <= kind.http_status < 600 for kind in kinds)
