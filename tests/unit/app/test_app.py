"""The whole service, from start to stop; only the model is a fake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from app_world import World, world

from noctule.app import Plugged, assembled
from noctule.core.errors import BusyError, ConfigError, DeviceError, ModelError, NoctuleError, UnavailableError
from noctule.core.events import Bus
from noctule.service.instance_lock import InstanceLock
from noctule.service.journal import Journal
from noctule.service.request import Ask
from noctule.service.service import FREEZE_VARIABLE, Service
from waiting import WAIT

__all__ = ["world"]  # the fixture


def test_from_start_to_a_clean_stop(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        assert world.hear("STATUS=") == "STATUS=Ready: fake"
        status = world.client().get("/status")
        assert status["state"] == "ready"
        assert {part["name"]: part["state"] for part in status["parts"]} == dict.fromkeys(
            ("alarms", "api", "governor", "lm", "timers"), "working"
        )
        assert status["lm"]["model"] == "fake"
        assert status["memory"]["resident_bytes"] > 0
        assert status["config"] == {"files": [str(world.file)], "needs_restart": []}
        json.dumps(status)
        told = world.client().get("/help")["help"]
        assert {"GET /timers", "POST /timers", "POST /timers/cancel"} <= set(told)
        answer = world.client().post("/ask", {"text": "time", "stream": False})
        assert answer["reply"] == "you said time"

    service = world.run(script)
    assert service.stuck == []
    world.hear("STOPPING=1")
    assert world.kinds()[0] == "service.starting"
    assert world.kinds()[-1] == "service.stopped"
    assert world.closed.is_set()
    assert not world.path.exists()
    InstanceLock(world.path.with_name("noctule.lock")).release()


def test_words_are_in_private_fields_only(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        world.client().post("/ask", {"text": "my secret diary", "stream": False})

    world.run(script)
    received = next(e for e in world.events if e.kind == "ask.received")
    assert received.fields["prompt"] == "my secret diary"
    assert not any("secret" in event.message for event in world.events)


def test_while_loading_systemd_is_asked_for_patience_and_status_says_so(world: World) -> None:
    world.may_load.clear()

    def script() -> None:
        assert world.loading.wait(WAIT)
        assert world.hear("EXTEND_TIMEOUT_USEC=") == "EXTEND_TIMEOUT_USEC=15000000"
        assert world.client().get("/status")["state"] == "starting"
        assert not any(line == "READY=1" for line in world.sent)
        world.may_load.set()
        world.hear("READY=1")

    world.run(script)


def test_a_stop_while_loading_is_obeyed(world: World) -> None:
    world.configure("stop_timeout = 0.1\n")
    world.may_load.clear()
    service = world.run(lambda: assert_(world.loading.wait(WAIT)))
    assert "service.ready" not in world.kinds()
    assert service.stuck in (["lm"], [])


def assert_(value: object) -> None:
    assert value


def test_a_stop_while_generating_ends_the_answer_within_a_token(world: World) -> None:
    entered = threading.Event()
    errors: list[NoctuleError] = []

    def answer(ask: Ask) -> Mapping[str, Any]:
        while ask.going_on():
            ask.emit("on ")
            entered.set()
            threading.Event().wait(0.001)
        return {"reply": ""}

    world.answer = answer

    def listen() -> None:
        try:
            for _ in world.client().stream("POST", "/ask", {"text": "sing"}):
                pass
        except NoctuleError as error:
            errors.append(error)

    listener = threading.Thread(target=listen)

    def script() -> None:
        world.hear("READY=1")
        listener.start()
        assert entered.wait(WAIT)

    service = world.run(script)
    listener.join(WAIT)
    assert service.stuck == []
    assert "stopping" in str(errors[0])


def test_a_missing_model_degrades_and_a_reload_brings_it_back(world: World) -> None:
    world.load_error = ModelError("There is no model noctule-tiny.", "build it")

    def script() -> None:
        world.hear("READY=1")
        assert world.hear("STATUS=") == "STATUS=Degraded: lm: There is no model noctule-tiny."
        status = world.client().get("/status")
        assert status["state"] == "degraded"
        assert status["troubles"] == ["lm: There is no model noctule-tiny."]
        with pytest.raises(UnavailableError, match="There is no model noctule-tiny") as error:
            world.client().post("/ask", {"text": "time"})
        assert error.value.hint == "build it"
        world.load_error = None
        world.configure('[lm]\nmodel = "other"\nthreads = 1\n')
        done = world.client().post("/reload")
        assert sorted(done["applied"]) == ["lm.model", "lm.threads"]
        assert done["restart"] == []
        world.until("part.recovered")
        assert world.client().post("/ask", {"text": "hi", "stream": False})["reply"] == "you said hi"
        assert world.client().get("/status")["state"] == "ready"

    world.run(script)
    assert [c.lm.model for c in world.configs] == ["noctule-tiny", "other"]


def test_sighup_applies_what_it_can_and_says_what_needs_a_restart(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        world.configure('verbosity = "debug"\nlog_words = true\nstop_timeout = 2\n')
        os.kill(os.getpid(), signal.SIGHUP)
        world.hear("RELOADING=1")
        assert int(world.hear("MONOTONIC_USEC=").partition("=")[2]) > 0
        world.hear("READY=1")
        assert world.service.config.service.verbosity == "debug"
        assert world.client().get("/status")["config"]["needs_restart"] == ["service.stop_timeout"]
        assert world.client().post("/ask", {"text": "hi", "stream": False})["reply"] == "you said hi"
        # setting it back is nothing to restart for
        world.configure("")
        assert world.client().post("/reload")["restart"] == []

    world.run(script)
    applied = {e.fields["key"] for e in world.events if e.kind == "config.applied"}
    assert applied == {"service.verbosity", "service.log_words", "service.stop_timeout"}
    assert [e.fields["key"] for e in world.events if e.kind == "config.restart"] == ["service.stop_timeout"]


def test_a_reload_with_mistakes_keeps_the_old_configuration(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        before = world.service.config
        world.configure("[lm]\nthreds = 1\nqueue = 0\n")
        os.kill(os.getpid(), signal.SIGHUP)
        world.hear("RELOADING=1")
        world.hear("READY=1")
        assert world.service.config is before
        with pytest.raises(ConfigError) as error:
            world.client().post("/reload")
        assert len(error.value.problems) == 2
        assert world.client().post("/ask", {"text": "hi", "stream": False})["reply"] == "you said hi"

    world.run(script)
    rejected = [e.message for e in world.events if e.kind == "config.rejected"]
    assert len(rejected) == 4
    assert any(f"{world.file}:6: lm.threds" in line and "did you mean threads?" in line for line in rejected)


def test_a_live_setting_counts_from_the_next_request_on(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        world.configure("[lm]\nmax_prompt = 5\n")
        assert world.client().post("/reload")["applied"] == ["lm.max_prompt"]
        with pytest.raises(NoctuleError, match="at most 5"):
            world.client().post("/ask", {"text": "what time is it"})

    world.run(script)


def test_a_model_switched_off(world: World) -> None:
    world.configure("[lm]\nenabled = false\n")

    def script() -> None:
        world.hear("READY=1")
        assert world.client().get("/status")["state"] == "ready"
        with pytest.raises(UnavailableError, match="switched off"):
            world.client().post("/ask", {"text": "hi"})

    world.run(script)
    assert world.configs == []


def test_the_watchdog_is_fed_until_a_worker_freezes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv(FREEZE_VARIABLE, "lm")
    world.configure("stop_timeout = 0.1\n[supervision]\nstall = 1\n")

    def script() -> None:
        world.hear("READY=1")
        world.hear("WATCHDOG=1")
        os.kill(os.getpid(), signal.SIGUSR2)
        frozen = world.until("part.frozen")
        assert frozen.part == "lm"
        world.hear("STATUS=Degraded: lm has done no work")
        # all pings sent before the stall are read; then none comes any more
        world.notify.settimeout(0.6)
        with pytest.raises(TimeoutError):
            world.hear("WATCHDOG=1")
        states = {part["name"]: part["state"] for part in world.client().get("/status")["parts"]}
        assert states == {
            "api": "working",
            "governor": "working",
            "timers": "working",
            "alarms": "working",
            "lm": "frozen",
        }

    service = world.run(script)
    assert service.stuck == ["lm"]
    assert "service.overdue" in world.kinds()


def test_without_the_variable_the_freeze_signal_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FREEZE_VARIABLE, raising=False)
    before = signal.getsignal(signal.SIGUSR2)

    def script() -> None:
        world.hear("READY=1")

    world.run(script)
    assert signal.getsignal(signal.SIGUSR2) == before


def test_a_second_service_is_refused(world: World) -> None:
    refused: list[NoctuleError] = []

    def script() -> None:
        world.hear("READY=1")
        other = Service(world.load(), world.load, Bus(), Journal(), assembled(world.build))
        try:
            asyncio.run(other.run())
        except NoctuleError as error:
            refused.append(error)
        assert world.client().get("/health") == {"ok": True}

    world.run(script)
    assert isinstance(refused[0], BusyError)


def test_a_socket_that_cannot_be_made_is_one_sentence(world: World) -> None:
    world.path.parent.mkdir()
    world.path.write_text("a file")
    with pytest.raises(DeviceError, match="in the way"):
        asyncio.run(Service(world.load(), world.load, Bus(), Journal(), assembled(world.build)).run())


def test_an_engine_that_dies_is_restarted_and_serves_again(world: World) -> None:
    def answer(ask: Ask) -> Mapping[str, Any]:
        if ask.text == "die":
            raise IndexError("slot")
        return {"reply": "alive"}

    world.answer = answer

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(UnavailableError):
            world.client().post("/ask", {"text": "die"})
        world.until("part.recovered")
        assert world.client().post("/ask", {"text": "x", "stream": False}) == {"reply": "alive"}
        part = next(p for p in world.client().get("/status")["parts"] if p["name"] == "lm")
        assert part["restarts"] == 1

    world.run(script)


class Sense:
    """An organ whose closing can hang."""

    name = "ears"

    def __init__(self) -> None:
        self.hang = threading.Event()
        self.closed = threading.Event()

    def jobs(self) -> list[Any]:
        return []

    def status(self) -> Mapping[str, Any]:
        return {"open": True}

    def apply(self, config: object) -> None:
        return None

    def close(self) -> None:
        self.closed.set()
        self.hang.wait(WAIT)


def test_an_organ_that_does_not_close_is_left_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noctule.service.service.COMPONENT_CLOSE", 0.05)
    sense = Sense()
    world.senses = lambda host: [Plugged(sense)]

    def script() -> None:
        world.hear("READY=1")
        assert world.client().get("/status")["ears"] == {"open": True}

    service = world.run(script)
    assert sense.closed.is_set()
    assert service.stuck == ["ears"]
    sense.hang.set()
