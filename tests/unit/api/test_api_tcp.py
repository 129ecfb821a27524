"""The port with a token: who gets in, which addresses it takes, and a token that nobody else can read."""

from __future__ import annotations

import http.client
import json
import socket
import stat
from pathlib import Path
from typing import Any

import openai
import pytest
from app_world import World

from noctule.api.http.address import bind
from noctule.api.http.token import CREDENTIAL, load_token
from noctule.api.tcp import TcpApi
from noctule.app import Plugged, build_components
from noctule.config import Config
from noctule.config.address import Address, parse
from noctule.core.clock import SystemClock
from noctule.core.errors import ConfigError, DeviceError, NoctuleError
from noctule.core.events import Bus
from noctule.service.component import Host
from waiting import WAIT


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    made.configure("[supervision]\nretry = 0.1\n")
    return made


class Port:
    """The organ as the service grows it, kept so that a test finds the port that the system chose."""

    def __init__(self, world: World, address: str = "127.0.0.1:0") -> None:
        text = world.file.read_text().replace("[service]", f'tcp = "{address}"\n[service]', 1)
        world.file.write_text(text)
        self.organs: list[TcpApi] = []
        world.senses = self.grow
        self.world = world

    def grow(self, host: Host) -> list[Plugged]:
        self.organs.append(TcpApi(host))
        return [Plugged(self.organs[-1])]

    @property
    def number(self) -> int:
        return self.organs[0].port

    def ask(self, path: str, token: str | None, method: str = "GET") -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=WAIT)
        try:
            connection.request(method, path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if body.startswith(b"{") else {"text": body.decode()}
        finally:
            connection.close()


def test_with_the_token_it_serves_and_without_it_it_does_not(world: World) -> None:
    port = Port(world)

    def script() -> None:
        world.until("service.ready")
        token = (world.folder / "state" / "token").read_text().strip()
        assert port.ask("/health", token) == (200, {"ok": True})
        for wrong in (None, "", "x" * 43, token[:-1], token + "x"):
            status, body = port.ask("/health", wrong)
            assert status == 401
            assert body["error"]["code"] == "token"
        assert port.ask("/nowhere", None)[0] == 401, "not even what there is"
        assert port.ask("/nowhere", token)[0] == 404
        with socket.create_connection(("127.0.0.1", port.number), WAIT) as sock:
            sock.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
            assert sock.recv(4096).split()[1] == b"400"
        status, body = port.ask("/v1/models", None)
        assert (status, body["error"]["type"]) == (401, "authentication_error")
        assert port.ask("/metrics", token)[1]["text"].startswith("# HELP noctule_info")
        about = port.ask("/status", token)[1]["tcp"]
        assert about["open"] is True
        assert about["lan"] is False
        assert "warning" not in about
        assert about["refused"] == 7
        for path in ("/reload", "/ask", "/events", "/utterance", "/wake"):
            assert port.ask(path, token, "POST")[0] == 404, "these stay on the control socket"
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{port.number}/v1", api_key=token, max_retries=0, timeout=WAIT
        ) as ai:
            found = ai.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hello"}])
            assert found.choices[0].message.content == "you said hello"
        wrong = openai.OpenAI(base_url=f"http://127.0.0.1:{port.number}/v1", api_key="wrong", max_retries=0)
        with wrong, pytest.raises(openai.AuthenticationError, match="token is wrong"):
            wrong.models.list()
        assert token not in json.dumps(world.client().get("/status"))

    service = world.run(script)
    assert service.stuck == []
    refusals = [event for event in world.events if event.kind == "api.refused"]
    assert len(refusals) == 1, "said once, not once a request"


def test_a_taken_port_is_one_degraded_part_and_comes_back(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        port = Port(world, f"127.0.0.1:{number}")

        def script() -> None:
            world.until("service.ready")
            status = world.client().get("/status")
            assert status["state"] == "degraded"
            assert any("api.tcp" in trouble for trouble in status["troubles"])
            assert status["tcp"]["open"] is False
            assert world.client().post("/ask", {"text": "hi", "stream": False})["reply"] == "you said hi"
            taken.close()
            world.until("part.recovered")
            token = (world.folder / "state" / "token").read_text().strip()
            assert port.ask("/health", token)[0] == 200

        world.run(script)


@pytest.mark.parametrize(
    "text", ["8642", "localhost", "host:80", "1.2.3:80", "[::1", "127.0.0.1:99999", "[fe80::1%lo]:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.tcp: must be"):
        parse(text, "api.tcp", False, "api.lan")


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::]:80", "192.168.1.5:80", "[::ffff:192.168.1.5]:1"])
def test_an_address_that_others_reach_is_an_explicit_choice(text: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.lan = true"):
        parse(text, "api.tcp", False, "api.lan")
    assert not parse(text, "api.tcp", True, "api.lan").loopback


def test_loopback_needs_no_choice() -> None:
    assert str(parse("localhost:80", "k", False, "l")) == "127.0.0.1:80"
    assert str(parse("[::1]:80", "k", False, "l")) == "[::1]:80"


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(DeviceError, match=r"203\.0\.113\.1:1 cannot be used"):
        bind(Address("203.0.113.1", 1), "api.tcp")


def test_the_command_grows_the_servers_that_are_switched_on(tmp_path: Path) -> None:
    config = Config()
    config.wake.enabled = config.capture.enabled = False
    host = Host(lambda: config, Bus(), SystemClock(), lambda ask: None, str)
    assert "tcp" not in [one.component.name for one in build_components(host)]
    config.api.tcp, config.wyoming.listen = "127.0.0.1:0", f"unix://{tmp_path}/w.sock"
    config.mqtt.host = "localhost"
    assert {"tcp", "wyoming", "mqtt"} <= {one.component.name for one in build_components(host)}
    config.wyoming.listen = "tcp://0.0.0.0:1"
    with pytest.raises(ConfigError, match=r"wyoming\.lan"):
        build_components(host)


# -- the token ------------------------------------------------------------------------------------------------------


def test_the_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    token = load_token(tmp_path / "state")
    assert len(token) >= 32
    assert load_token(tmp_path / "state") == token
    assert stat.S_IMODE((tmp_path / "state" / "token").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["token"]
    assert load_token(tmp_path / "other") != token


@pytest.mark.parametrize("text", ["", "short", "with a blank in it, long", "ü" * 20, "x" * 600])
def test_a_token_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(DeviceError, match="holds no token"):
        load_token(tmp_path)


def test_a_token_that_others_read_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 40)
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(DeviceError, match="read by others"):
        load_token(tmp_path)
    (tmp_path / "elsewhere").write_text("x" * 40)
    (tmp_path / "token").unlink()
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="cannot be read"):
        load_token(tmp_path)
    (tmp_path / "token").unlink()
    (tmp_path / "token").mkdir()
    with pytest.raises(DeviceError, match="no plain file"):
        load_token(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot be made"):
        load_token(tmp_path / "file")


def test_a_credential_of_systemd_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / CREDENTIAL).write_text("c" * 40 + "\n")
    (tmp_path / CREDENTIAL).chmod(0o400)
    assert load_token(tmp_path / "state") == "c" * 40
    assert not (tmp_path / "state").exists()
    (tmp_path / CREDENTIAL).chmod(0o404)
    with pytest.raises(NoctuleError, match="everybody"):
        load_token(tmp_path / "state")


def test_a_wrong_token_and_a_missing_one_are_told_apart(world: World) -> None:
    port = Port(world)

    def script() -> None:
        world.until("service.ready")
        assert port.ask("/health", None)[1]["error"]["message"] == "This port needs its token."
        assert port.ask("/health", "x" * 43)[1]["error"]["message"] == "The token is wrong."

    world.run(script)
