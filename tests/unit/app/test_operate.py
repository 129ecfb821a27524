"""Operating a service by hand: verbs, their routes, and what status says; and who may have the devices at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from app_world import World, world
from model_world import RealWorld, package
from prometheus_client.parser import text_string_to_metric_families

from noctule.api.routes import operate as routes_module
from noctule.app import Plugged, build_components
from noctule.assistant.actions.process import Output
from noctule.assistant.actions.volume import Mixer
from noctule.cli import run_command
from noctule.cli.status import words
from noctule.core.errors import BusyError, ConfigError, DeviceError, InputError
from noctule.service.component import Host
from noctule.service.instance_lock import InstanceLock
from waiting import WAIT

__all__ = ["world"]  # the fixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    (tmp_path / "models").mkdir()
    made = RealWorld(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for name in ("talker", "other"):
        package(tmp_path / "models" / name)
    yield made
    made.notify.close()


def on(world: World, *argv: str) -> int:
    return run_command([*argv, "--socket", str(world.path)])


def test_the_model_verb(real: RealWorld, capsys: Capture) -> None:
    def script() -> None:
        real.hear("READY=1")
        assert on(real, "model", "show") == 0
        assert capsys.readouterr().out.startswith("talker 1, ")
        assert on(real, "model", "use", "other") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("other 1, ")
        assert "; loaded and verified in " in first
        assert second == 'Until the next start. To keep it: lm.model = "other" in the configuration.'
        assert on(real, "model", "use", "nobody") == 66
        error = capsys.readouterr().err
        assert "There is no model nobody" in error
        assert on(real, "status", "-v") == 0
        shown = capsys.readouterr().out
        assert "  model    other" in shown
        assert "chosen by hand; the configuration names talker" in shown
        assert on(real, "model", "use", "configured") == 0
        assert capsys.readouterr().out.startswith("talker 1, ")

    real.run(script)


def test_a_reload_that_fails_in_part_is_said_and_its_status_is_not_zero(real: RealWorld, capsys: Capture) -> None:
    def script() -> None:
        real.hear("READY=1")
        real.file.write_text(real.file.read_text().replace('"talker"', '"nobody"') + "max_tokens = 3\n")
        assert on(real, "reload") == 1
        out = capsys.readouterr().out.splitlines()
        assert out[0] == "applied: lm.max_tokens"
        assert out[1].startswith("not in force: lm.model: There is no model nobody in ")

    real.run(script)


def test_the_log_verb(world: World, capsys: Capture) -> None:
    def script() -> None:
        world.hear("READY=1")
        assert on(world, "log", "level") == 0
        assert capsys.readouterr().out == "Messages of the level info and above are shown.\n"
        assert on(world, "log", "level", "debug") == 0
        assert "level debug and above" in capsys.readouterr().out
        assert world.service._journal.level == 7
        assert world.client().get("/status")["journal"]["verbosity"] == "debug"
        with pytest.raises(InputError, match="one of error, warning"):
            world.client().post("/log", {"level": "loud"})
        world.client().post("/reload")
        assert world.service._journal.level == 6, "the configuration decides again"

    world.run(script)
    (said,) = [event for event in world.events if event.kind == "log.level"]
    assert said.fields["verbosity"] == "debug"


class Amixer:
    """As alsa-utils' program: one control, and the level it was set to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, argv: Any, timeout: float) -> Output:
        self.calls.append(list(argv[1:]))
        if argv[1] == "scontrols":
            return Output(0, "Simple mixer control 'Master',0\n")
        return Output(0, "  Front Left: Playback 40 [40%] [on]\n")


def test_the_volume_verb(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    amixer = Amixer()
    mixer = Mixer(lambda: "", amixer, lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(routes_module, "Mixer", lambda control, **more: mixer)

    def script() -> None:
        world.hear("READY=1")
        for argument, said in [
            ((), ["-M", "sget", "Master"]),
            (("40",), ["-M", "sset", "Master", "40%", "unmute"]),
            (("up",), ["-M", "sset", "Master", "10%+"]),
            (("down",), ["-M", "sset", "Master", "10%-"]),
            (("off",), ["-M", "sset", "Master", "mute"]),
            (("on",), ["-M", "sset", "Master", "unmute"]),
        ]:
            assert on(world, "volume", *argument) == 0
            assert capsys.readouterr().out.startswith("The volume is 40 percent")
            assert amixer.calls[-1] == said
        assert on(world, "volume", "loud") == 65
        assert "0 to 100, up, down, off or on" in capsys.readouterr().err
        for body in ({"set": 101}, {"set": -1}, {"by": 200}, {"by": float("nan")}, {}):
            with pytest.raises(InputError):
                world.client().post("/volume", body)

    world.run(script)


# -- status and metrics ----------------------------------------------------------------------------------------------


def test_status_says_what_was_given_up_and_why(world: World) -> None:
    def script() -> None:
        world.hear("READY=1")
        status = world.client().get("/status")
        assert not any(line.startswith("  spares") for line in words(status))
        status["governor"] |= {
            "steps": [{"step": "threads", "what": "half the threads", "why": "it is hot", "since_s": 65.0}]
        }
        status["lm"] |= {"loaded": False, "first_s": 0.5}
        shown = words(status)
        assert "  spares   half the threads, because it is hot (for 1 min 5 s)" in shown
        assert any("not in memory: nobody asked" in line for line in shown)
        assert any("first word after 0.50 s" in line for line in shown)
        status["governor"] = {"enabled": False}
        assert "  governor switched off (governor.enabled)" in words(status)

    world.run(script)


def test_metrics_of_the_governor_are_read_by_prometheus(world: World) -> None:
    from board_world import FakeBoard

    fake = FakeBoard(world.folder / "board")
    world.board = fake.board
    fake.throttled(1)
    world.configure("[lm]\nenabled = false\n[governor]\ninterval = 0.05\n")

    def script() -> None:
        world.hear("READY=1")
        page = world.client().fetch("/metrics").decode()
        found: Mapping[tuple[str, str], float] = {
            (sample.name, sample.labels.get("step", "")): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        assert found["noctule_governor_step", "threads"] == 0
        assert found["noctule_memory_available_ratio", ""] == 0.7
        assert found["noctule_under_voltage", ""] == 1
        assert found["noctule_governor_steps_total", ""] == 0

    world.run(script)


# -- one instance ----------------------------------------------------------------------------------------------------


class Sense:
    name = "sense"

    def __init__(self) -> None:
        self.closed = threading.Event()

    def jobs(self) -> list[Any]:
        return []

    def status(self) -> dict[str, Any]:
        return {}

    def apply(self, config: Any) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


def test_a_second_instance_does_not_even_touch_the_senses(world: World) -> None:
    grown: list[Sense] = []

    def senses(host: Host) -> list[Plugged]:
        grown.append(Sense())
        return [Plugged(grown[-1])]

    world.senses = senses
    world.path.parent.mkdir(parents=True, exist_ok=True)
    display = world.path.with_name("display.sock")
    display.write_text("the first one's door")
    with (
        InstanceLock(world.path.with_name("noctule.lock")),
        pytest.raises(BusyError, match="Another noctule"),
    ):
        _start(world)
    assert grown == []
    assert display.read_text() == "the first one's door"


def test_senses_are_closed_whatever_keeps_the_service_from_starting(world: World) -> None:
    grown: list[Sense] = []

    def senses(host: Host) -> list[Plugged]:
        grown.append(Sense())
        return [Plugged(grown[-1])]

    world.senses = senses
    world.path.parent.mkdir(parents=True, exist_ok=True)
    world.path.write_text("in the way")
    with pytest.raises(DeviceError, match="in the way"):
        _start(world)
    assert grown[0].closed.wait(WAIT)


def test_senses_that_contradict_each_other_are_closed_again(world: World) -> None:
    world.configure("tcp_ = 1\n")
    world.file.write_text(
        f'[api]\nsocket = "{world.path}"\ntcp = "0.0.0.0:1"\n[service]\nstate_dir = "{world.folder}/state"\n'
        f'[wake]\nenabled = false\n[capture]\nfolder = "{world.folder}/p"\n[lm]\nenabled = false\n'
    )
    world.senses = build_components
    with pytest.raises(ConfigError, match="can be reached by other machines"):
        _start(world)
    assert not world.path.with_name("display.sock").exists()


def _start(world: World) -> None:
    """Run the service in this thread; it must refuse."""
    import asyncio

    from noctule.app import Service, assembled
    from noctule.core.events import Bus
    from noctule.service.journal import Journal

    asyncio.run(Service(world.load(), world.load, Bus(), Journal(), assembled(world.build, world.senses)).run())


def test_what_is_muted_and_tuned_by_hand_is_remembered_by_a_running_service(world: World) -> None:
    """Through the routes, into the file, and out of it at the next start."""
    import os

    models = Path(__file__).resolve().parents[3] / "models"
    os.mkfifo(world.folder / "sound")
    world.senses = build_components
    world.file.write_text(
        f'[api]\nsocket = "{world.path}"\n[service]\nstate_dir = "{world.folder}/state"\nmodels = ["{models}"]\n'
        f"[lm]\nenabled = false\n[capture]\nenabled = false\n"
        f'[audio]\nsource = "path"\npath = "{world.folder}/sound"\n'
    )

    def first() -> None:
        world.hear("READY=1")
        assert world.client().post("/mute", {"on": True}) == {"muted": True, "changed": True}
        assert world.client().post("/wake", {"word": "hey_noctule", "threshold": 0.66})["words"] == {
            "hey_noctule": 0.66
        }

    world.run(first)
    kept = json.loads((world.folder / "state" / "ears.json").read_text())
    assert kept == {"format": 1, "muted": True, "thresholds": {"hey_noctule": 0.66}}

    def second() -> None:
        world.hear("READY=1")
        ears = world.client().get("/status")["ears"]
        assert ears["state"] == "muted"
        assert ears["words"] == {"hey_noctule": 0.66}
        world.client().post("/mute", {"on": False})

    world.run(second)
    assert json.loads((world.folder / "state" / "ears.json").read_text())["muted"] is False
