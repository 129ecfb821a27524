"""The doctor: every trouble is one finding with something to type, and examining never raises."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_pyaudio import Card

from noctule.audio import health, portaudio
from noctule.audio.chunk import HOP
from noctule.cli import preflight as doctor
from noctule.cli import run_command
from noctule.cli.preflight import FIX, NOTE, OK, Doctor, Finding
from noctule.config import load_config
from noctule.core.errors import DeviceError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 900000 kB\n")
    zone = tmp_path / "sys" / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("51000\n")
    return tmp_path


def examine(board: Path, *flags: str) -> dict[str, Finding]:
    loaded = load_config(None, {}, [f"service.state_dir={board}", f'service.models=["{board}"]', *flags])
    found = list(Doctor(loaded, board / "none.sock", proc=board / "proc", sys=board / "sys").examine())
    assert all(f.text and (f.hint or f.state != FIX) for f in found), "trouble without a remedy"
    return {f.subject: f for f in found}


@pytest.fixture(autouse=True)
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise DeviceError("Sound needs PyAudio.", portaudio.INSTALL)

    monkeypatch.setattr(portaudio, "load", absent)


def test_a_bare_board_is_described_and_every_trouble_has_a_remedy(board: Path) -> None:
    found = examine(board)
    assert found["runtime"].state == OK
    assert found["service"].state == NOTE
    assert "not running" in found["service"].text
    assert found["models"].state == FIX
    assert found["wake words"].state == FIX
    assert found["microphone"].state == FIX
    assert "python3-pyaudio" in found["microphone"].hint
    assert found["memory"] == Finding("memory", OK, "922 MB can be had")
    assert found["heat"].text == "51 °C"


def test_heat_power_memory_and_disk_are_judged(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (board / "sys/class/thermal/thermal_zone0/temp").write_text("86000\n")
    firmware = board / "sys/devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    (board / "proc/meminfo").write_text("MemAvailable: 90000 kB\n")
    monkeypatch.setattr(doctor, "LOW_DISK", 1 << 62)
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    found = examine(board)
    assert found["heat"].state == FIX
    assert "under-voltage now" in found["power"].text
    assert found["power"].hint == "a stronger power supply"
    assert found["memory"].state == FIX
    assert found["disk"].state == FIX
    assert "years behind" in found["clock"].text
    (firmware / "get_throttled").write_text("0\n")
    (board / "sys/class/thermal/thermal_zone0/temp").unlink()
    found = examine(board)
    assert found["power"].state == OK
    assert found["heat"].state == NOTE


@pytest.mark.parametrize(("level", "state", "says"), [(500, OK, "ok"), (0, FIX, "silent"), (32767, FIX, "clipping")])
def test_the_microphone_is_opened_and_listened_to(
    board: Path, monkeypatch: pytest.MonkeyPatch, level: int, state: str, says: str
) -> None:
    card = Card([("USB Mic", "ALSA", 1, 0, 16000), ("Box", "ALSA", 0, 2, 48000)])
    monkeypatch.setattr(portaudio, "load", lambda: card)
    stop = threading.Event()

    def speak() -> None:
        while not card.streams:
            stop.wait(0.001)
        while not stop.wait(0.002) and not card.streams[0].closed:
            card.streams[0].callback(np.full(HOP, level, np.int16).tobytes(), HOP, {}, 0)

    thread = threading.Thread(target=speak)
    thread.start()
    monkeypatch.setattr(health.HealthMeter, "RATE_ERROR", 1e9)  # the test does not speak in time
    try:
        found = examine(board)
    finally:
        stop.set()
        thread.join(5)
    assert found["microphone"].state == state
    assert found["microphone"].text.startswith(f"USB Mic at 16000 Hz: {says}, level ")
    assert found["loudspeaker"].text == "Box"
    assert card.sessions == 0


def test_a_microphone_that_delivers_nothing_is_said(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "load", lambda: Card([("USB Mic", "ALSA", 1, 0, 16000)]))
    monkeypatch.setattr(doctor, "RECORD", 0.05)
    assert "delivers nothing" in examine(board)["microphone"].text


def test_a_running_service_is_asked_instead(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = {"summary": "Degraded: x", "pid": 7, "troubles": ["x"], "ears": {"source": "Mic", "state": "silent"}}
    monkeypatch.setattr(doctor.Client, "get", lambda self, path: status)
    found = examine(board)
    assert found["service"].state == FIX
    assert found["microphone"].text == "The service's Mic is silent"
    assert "alsamixer" in found["microphone"].hint
    status.update(troubles=[], ears={"source": "Mic", "state": "ok", "level_db": -40.0, "peak_db": -20.0})
    found = examine(board)
    assert found["service"].state == OK
    assert found["microphone"] == Finding("microphone", OK, "The service's Mic is ok, level -40 dB, peak -20 dB")


def test_what_is_switched_off_is_no_trouble(board: Path) -> None:
    found = examine(board, "lm.enabled=false", "wake.enabled=false")
    assert found["models"].state == found["wake words"].state == found["microphone"].state == NOTE
    found = examine(board, "audio.source=path", f"audio.path={board}/pipe")
    assert found["microphone"].state == FIX
    (board / "pipe").touch()
    assert examine(board, "audio.source=path", f"audio.path={board}/pipe")["microphone"].state == OK


def test_the_command_says_everything_and_its_status_says_whether_all_is_well(
    board: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTULE_SOCKET", str(board / "none.sock"))
    flags = ["--set", f"service.state_dir={board}", "--set", "wake.enabled=false", "--set", "lm.enabled=false"]
    assert run_command(["doctor", *flags]) == 0
    out = capsys.readouterr().out
    assert "ok    runtime" in out
    assert run_command(["doctor", "--json", "--set", "lm.model=absent", "--set", "wake.enabled=false"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["state"] for line in lines} >= {OK, FIX}


def test_a_unit_that_forbids_what_is_configured(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped unit gives no network: what needs one is told before somebody wonders why a port is shut."""
    folder = board / "bin"
    folder.mkdir()
    fake = folder / "systemctl"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    fake.write_text("#!/bin/sh\necho LoadState=loaded\necho PrivateNetwork=yes\n")
    fake.chmod(0o755)
    shut = examine(board, "capture.page_port=8000")["sandbox"]
    assert shut.state == FIX
    assert "The status page listens on 127.0.0.1:8000" in shut.text
    assert "systemctl edit noctule" in shut.hint
    assert "sandbox" not in examine(board)
    assert "sandbox" not in examine(board, "wyoming.listen=unix:///run/w.sock")
    far = examine(board, "sources.door.kind=network", "sources.door.address=rtsp://joe:secret@10.0.0.9/x")
    assert "The source door is fetched over the network" in far["sandbox"].text
    assert "secret" not in far["sandbox"].text + far["network"].text
    fake.write_text("#!/bin/sh\necho LoadState=loaded\necho PrivateNetwork=no\n")
    assert "sandbox" not in examine(board, "capture.page_port=8000")
    fake.write_text("#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(doctor.subprocess, "run", _too_slow)
    assert doctor._kept_off_networks() is False


def _too_slow(*command: object, **about: object) -> None:
    raise doctor.subprocess.TimeoutExpired("systemctl", 5)


def test_doors_to_the_network_are_named_and_warned_of(board: Path) -> None:
    assert examine(board)["network"].text.startswith("Nothing listens")
    at_home = examine(board, "api.tcp=127.0.0.1:8642")["network"]
    assert (at_home.state, at_home.hint) == (OK, "")
    assert "127.0.0.1:8642, with a token" in at_home.text
    open_door = examine(board, "api.tcp=0.0.0.0:8642", "api.lan=true")["network"]
    assert open_door.state == NOTE
    assert "unencrypted" in open_door.hint
    wyoming = examine(board, "wyoming.listen=tcp://0.0.0.0:1", "wyoming.lan=true")["network"]
    assert "without a password" in wyoming.hint
    assert "read on the way" in examine(board, "mqtt.host=broker.lan")["network"].hint
    assert "takes requests from" in examine(board, "mqtt.host=localhost", "mqtt.commands=true")["network"].text
    assert examine(board, "wyoming.listen=unix:///run/w.sock")["network"].state == OK
