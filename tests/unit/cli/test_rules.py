"""What `config check` accepts, `run` starts with; what it refuses, `run`, a reload and `doctor` refuse as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from app_world import World, world

from noctule.capture.all_sources import specs_of
from noctule.cli import run_command
from noctule.config import load_config
from noctule.core.errors import ConfigError

__all__ = ["world"]  # the fixture

Capture = pytest.CaptureFixture[str]

REFUSED = [
    ('[api]\ntcp = "tcp://127.0.0.1:8642"', "2: api.tcp: must be ADDRESS:PORT"),
    ('[api]\ntcp = "0.0.0.0:8642"', "2: api.tcp: 0.0.0.0:8642 can be reached by other machines"),
    ('[wyoming]\nlisten = "127.0.0.1:10400"', "2: wyoming.listen: must be tcp://ADDRESS:PORT"),
    ('[wyoming]\nlisten = "tcp://192.0.2.1:10400"', "2: wyoming.listen: 192.0.2.1:10400 can be reached"),
    ('[mqtt]\nhost = "mqtt://user:hidden@broker:1883"', "2: mqtt.host: must be a name or an address alone"),
    ('[mqtt]\nhost = "broker:1883"', "2: mqtt.host: must be a name"),
    ('[mqtt]\nprefix = "a/#"', "2: mqtt.prefix: "),
    ('[mqtt]\nhost = "b"\npassword = "hidden"', "3: mqtt.password: a password does not stand here but in the cred"),
    ('[mqtt]\nhost = "b"\nusername = "x"', "3: mqtt.username: unknown key (did you mean user?)"),
    ('[sources.cam]\nkind = "network"', "sources.cam: a source of the kind network needs an address"),
    ("[sources.cam]\nrotate = 45", "sources.cam: rotate must be 0, 90, 180 or 270"),
    ('[sources."front door"]\nmasks = ["1"]', 'sources."front door": front door: the mask "1"'),
    ('[sources.cam]\nkind = "network"\naddress = "rtsp://v:hid/den@cam/live"', 'has a "/" in user or password'),
    ('[sources."a/b"]\nkind = "x11"', "sources: 'a/b' cannot be a name"),
    ('[audio]\nsource = "path"', '2: audio.source: is "path", and audio.path is empty'),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_check_run_and_doctor_refuse_the_same(tmp_path: Path, text: str, says: str, capsys: Capture) -> None:
    path = tmp_path / "n.toml"
    socket = f'[service]\nstate_dir = "{tmp_path}"\n'
    path.write_text(text + "\n" + socket)
    assert run_command(["config", "check", str(path)]) == 78
    checked = capsys.readouterr().err
    assert says in checked
    assert "hidden" not in checked
    done = subprocess.run(
        [sys.executable, "-m", "noctule", "run", "--config", str(path), "--set", f"api.socket={tmp_path}/s"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (78, checked)
    assert run_command(["doctor", "--json", "--config", str(path), "--socket", str(tmp_path / "none")]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(says in found["text"] and found["state"] == "fix" for found in told)


def test_a_reload_is_refused_with_the_same_words_and_the_old_one_stays(world: World) -> None:
    world.configure("")

    def script() -> None:
        world.until("service.ready")
        world.configure('[mqtt]\nhost = "tcp://broker"\n')
        with pytest.raises(ConfigError) as refused:
            world.client().post("/reload", {})
        assert "mqtt.host: must be a name or an address alone" in refused.value.message
        assert "stays in force" in refused.value.hint

    world.run(script)


ABSENT = [
    ('[lm]\nmodel = "nobody"', "2: lm.model: There is no model nobody in"),
    ('[wake]\nwords = ["nobody"]', "2: wake.words: There is no wake word nobody in"),
    ('[speech]\nstt = "nobody"', "2: speech.stt: There is no model nobody in"),
    ('[speech]\ntts = "nobody"', "2: speech.tts: There is no model nobody in"),
    (
        '[commands.x]\nphrases = ["open the gate"]\nrun = ["no-such-program"]',
        "3: commands.x.run: there is no program",
    ),
    (
        '[commands.x]\nphrases = ["what time is it, please"]\nrun = ["true"]',
        "takes the place of the built-in request",
    ),
    (
        '[commands.x]\nphrases = ["lamp on"]\nrun = ["a"]\n[commands.y]\nphrases = ["lamp on please"]\nrun = ["a"]',
        '5: commands.y.phrases: "lamp on please" takes the place of the command x',
    ),
    ('[commands.x]\nphrases = ["?!"]\nrun = ["true"]', '"?!" is no phrase that can be said'),
    ('[sources.a]\nkind = "file"\naddress = "/no/such.mp4"', "sources.a.address: there is no file /no/such.mp4"),
]


@pytest.mark.parametrize(("text", "says"), ABSENT)
def test_what_is_named_and_not_there_is_told_by_check_and_doctor(
    tmp_path: Path, text: str, says: str, capsys: Capture
) -> None:
    path = tmp_path / "n.toml"
    path.write_text(f'{text}\n[service]\nmodels = ["{tmp_path}"]\nstate_dir = "{tmp_path}"\n')
    assert run_command(["config", "check", str(path)]) == 78
    said = capsys.readouterr().err
    assert says in said
    assert "the service starts, and does without" in said
    assert run_command(["doctor", "--json", "--config", str(path), "--socket", str(tmp_path / "none")]) == 1
    assert any(says in json.loads(line)["text"] for line in capsys.readouterr().out.splitlines())


def test_nobody_set_the_defaults(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "n.toml"
    path.write_text(f'[service]\nmodels = ["{tmp_path}"]\n')
    assert run_command(["config", "check", str(path)]) == 0


@pytest.mark.parametrize("name", ["front door", "front.door", "客厅", "it's"])
def test_a_source_may_have_any_readable_name(tmp_path: Path, name: str, capsys: Capture) -> None:
    path = tmp_path / "n.toml"
    path.write_text(f'[sources."{name}"]\nkind = "network"\naddress = "rtsp://127.0.0.1/x"\n', encoding="utf-8")
    assert run_command(["config", "check", str(path)]) == 0
    loaded = load_config(path)
    assert list(specs_of(loaded.config)) == [name]
    assert run_command(["config", "show", "--config", str(path), "--origin"]) == 0
    shown = capsys.readouterr().out.split("ok\n")[1]
    assert f"{path}:3" in shown
    again = tmp_path / "again.toml"
    again.write_text(shown, encoding="utf-8")
    assert load_config(again).config == loaded.config


def test_a_byte_order_mark_is_read_past_and_utf_16_is_told(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "n.toml"
    path.write_text('[mqtt]\nhost = "127.0.0.1"\n', encoding="utf-8-sig")
    assert load_config(path).config.mqtt.host == "127.0.0.1"
    assert load_config(path).origins["mqtt.host"].line == 2
    path.write_text('[mqtt]\nhost = "127.0.0.1"\n', encoding="utf-16")
    with pytest.raises(ConfigError, match="it is UTF-16: save it as UTF-8"):
        load_config(path)


def test_a_byte_order_mark_before_a_request_is_read_past(world: World) -> None:
    def script() -> None:
        world.until("service.ready")
        import http.client
        import socket

        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(world.path))
        body = b"\xef\xbb\xbf" + b'{"text": "hi", "stream": false}'
        connection.request("POST", "/ask", body, {"Content-Type": "application/json"})
        assert json.loads(connection.getresponse().read())["reply"] == "you said hi"
        connection.close()

    world.run(script)


def test_large_bounds_are_written_as_people_write_them() -> None:
    shipped = (Path(__file__).resolve().parents[3] / "config/noctule.toml").read_text()
    assert "e+0" not in shipped
    assert "1048576" in shipped
    with pytest.raises(ConfigError, match="must be at most 1048576, not 1048577"):
        load_config(None, {}, ["lm.context=1048577"])
