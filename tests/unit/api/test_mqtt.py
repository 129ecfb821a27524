"""MQTT against a real mosquitto: state, events, the last will, discovery, requests, and a broker that is away."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from app_world import World

from noctule.api.client import Client
from noctule.api.mqtt.link import MAX_ASK, MqttLink
from noctule.api.mqtt.topics import Topics, discovery, node_id, public
from noctule.api.mqtt.verbs import QUEUE, Commands, carry_out, read
from noctule.app import Plugged
from noctule.core.errors import BusyError, ConfigError, InputError
from noctule.core.events import Event
from noctule.service.component import Host
from noctule.service.request import Ask
from waiting import WAIT

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here (apt install mosquitto)")


class Broker:
    """mosquitto on a free port, and a listener that hears everything."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self.process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda *about: self.client.subscribe("#", qos=1)
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *about: subscribed.set()
        for _ in range(int(WAIT / 0.02)):
            try:
                self.client.connect("127.0.0.1", self.port)
                break
            except OSError:
                threading.Event().wait(0.02)
        self.client.loop_start()
        assert subscribed.wait(WAIT)

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        text = message.payload.decode("utf-8", "replace")
        self.heard.put((message.topic, json.loads(text) if text.startswith("{") else text))

    def next(self, topic: str, wanted: Callable[[Any], bool] = lambda value: True) -> Any:
        """The next message on `topic` that is `wanted`; others are passed over."""
        while True:
            at, value = self.heard.get(timeout=WAIT)
            if at == topic and wanted(value):
                return value

    def ask(self, text: str | bytes, retain: bool = False) -> None:
        self.client.publish("noctule/board/ask", text, qos=1, retain=retain).wait_for_publish(WAIT)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.process.terminate()
        self.process.wait(WAIT)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


class Board(World):
    def join(self, port: int, more: str = "") -> None:
        self.configure(
            f'[supervision]\nretry = 0.1\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\nname = "Board"\n{more}\n'
        )
        self.organs: list[MqttLink] = []
        self.senses = self.make

    def make(self, host: Host) -> list[Plugged]:
        self.organs.append(MqttLink(host))
        return [Plugged(self.organs[-1])]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    made = Board(tmp_path)
    yield made
    made.notify.close()


@needs_mosquitto
def test_a_board_is_seen_found_and_asked(board: Board, broker: Broker) -> None:
    board.join(broker.port, "commands = true")

    def answer(ask: Ask) -> dict[str, Any]:
        if ask.text == "busy":
            raise BusyError("Not now.")
        return {"reply": f"you said {ask.text}"}

    board.answer = answer

    def script() -> None:
        found = broker.next("homeassistant/sensor/noctule_board/state/config")
        assert found["state_topic"] == "noctule/board/state"
        assert found["unique_id"] == "noctule_board_state"
        assert broker.next("homeassistant/notify/noctule_board/ask/config")["command_topic"] == "noctule/board/ask"
        assert broker.next("noctule/board/availability") == "online"
        state = broker.next("noctule/board/state", lambda value: value["state"] == "ready")
        assert state["parts"]["mqtt"] == "working"
        assert state["memory_mb"] > 1
        broker.ask("hello there")
        event = broker.next("noctule/board/event", lambda value: value["kind"] == "ask.received")
        assert event["fields"] == {"characters": 11}, "the words stay on the board"
        reply = broker.next("noctule/board/reply")
        assert reply == {"text": "hello there", "reply": "you said hello there", "ok": True}
        for text, code in (("busy", "busy"), (" ", "input"), ("x" * (MAX_ASK + 1), "input")):
            broker.ask(text)
            assert broker.next("noctule/board/reply")["error"]["code"] == code
        broker.ask(b"\xff\xfe")
        assert broker.next("noctule/board/reply")["reply"].startswith("you said")
        about = board.client().get("/status")["mqtt"]
        assert about["connected"] is True
        assert about["asked"] == 3
        assert about["node"] == "board"

    board.run(script)
    assert broker.next("noctule/board/availability") == "offline", "it says good-bye"


@needs_mosquitto
def test_the_last_will_speaks_when_the_connection_breaks_and_it_comes_back(board: Board, broker: Broker) -> None:
    board.join(broker.port)

    def script() -> None:
        assert broker.next("noctule/board/availability") == "online"
        client = board.organs[0].client
        assert client is not None
        sock = client.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        assert broker.next("noctule/board/availability") == "offline"
        assert broker.next("noctule/board/availability") == "online"
        broker.ask("nobody listens")
        board.until("part.recovered")
        assert board.client().get("/status")["mqtt"]["asked"] == 0, "commands are off by default"

    board.run(script)


@needs_mosquitto
def test_another_board_of_the_same_name_is_told_as_that(board: Board, broker: Broker) -> None:
    board.join(broker.port)

    def script() -> None:
        assert broker.next("noctule/board/holder")
        rival = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="noctule-board")
        rival.connect("127.0.0.1", broker.port)
        rival.on_connect = lambda *about: rival.publish("noctule/board/holder", "the other one", qos=1, retain=True)
        rival.loop_start()
        while "called Board too" not in " ".join(event.message for event in board.events):
            threading.Event().wait(0.02)
        rival.loop_stop()
        rival.disconnect()
        while rival.socket() is not None and rival.loop(0.05) == 0:
            pass

    board.run(script)


def test_a_broker_that_is_away_is_one_degraded_part(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    board.join(port)

    def script() -> None:
        board.until("service.ready")
        status = board.client().get("/status")
        assert status["state"] == "degraded"
        assert any("cannot be reached" in trouble for trouble in status["troubles"])
        assert board.client().post("/ask", {"text": "hi", "stream": False})["reply"] == "you said hi"

    assert board.run(script).stuck == []


@pytest.mark.parametrize("prefix", ["a/#", "+", "/a", "a/", "$SYS", "a b"])
def test_a_prefix_that_is_no_topic(board: Board, prefix: str) -> None:
    board.join(1, f'prefix = "{prefix}"')
    with pytest.raises(ConfigError, match=r"mqtt\.prefix"):
        board.run(lambda: None)


def test_names_and_private_fields() -> None:
    assert node_id("Kitchen") == "kitchen"
    assert node_id("Living Room/Pi+#").startswith("living-room-pi-")
    assert node_id("Küche").startswith("kuche-")
    assert (
        len({node_id(name) for name in ("客厅", "卧室", "Küche", "Kuche", "äöü", "", "Living Room", "living-room")})
        == 8
    )
    event = Event("session.words", "turns", "A command was understood", {"words": "secret", "seconds": 1})
    assert public(event, words=False)["fields"] == {"seconds": 1}
    assert public(event, words=True)["fields"] == {"words": "secret", "seconds": 1}


def test_discovery_leaves_out_what_the_board_lacks() -> None:
    status: dict[str, Any] = {
        "state": "ready", "summary": "", "version": "1", "uptime_s": 1, "board": {"temperature_c": None},
        "memory": {"resident_bytes": None}, "lm": {"requests": {"answered": 0}}, "parts": [],
    }  # fmt: skip
    bare = discovery(Topics("noctule", "b"), status, commands=False)
    assert set(bare) == {"sensor/state", "binary_sensor/problem", "sensor/answered"}
    status["board"]["temperature_c"] = 40.0
    assert "sensor/temperature" in discovery(Topics("noctule", "b"), status, commands=False)
    assert len({config["unique_id"] for config in bare.values()}) == len(bare)


@needs_mosquitto
def test_a_board_is_driven_with_the_verbs_of_the_control_socket(board: Board, broker: Broker) -> None:
    board.join(broker.port, "commands = true")

    def do(verb: str, payload: str | bytes = "") -> Any:
        broker.client.publish(f"noctule/board/do/{verb}", payload, qos=1).wait_for_publish(WAIT)
        return broker.next("noctule/board/reply", lambda value: value.get("verb") == verb)

    def script() -> None:
        assert broker.next("homeassistant/notify/noctule_board/ask/config")["command_topic"] == "noctule/board/ask"
        assert broker.next("homeassistant/notify/noctule_board/say/config") == "", "it has no voice"
        assert broker.next("homeassistant/button/noctule_board/mute/config") == "", "it has no ears"
        assert broker.next("noctule/board/availability") == "online"
        timers = do("timer", "90")["timers"]
        assert (timers[0]["number"], timers[0]["duration_s"]) == (1, 90.0)
        assert [t["name"] for t in do("timer", '{"seconds": 60, "name": "tea"}')["timers"]] == ["tea", ""]
        assert len(do("cancel", "1")["timers"]) == 1
        assert do("cancel", "7")["error"]["message"] == "There is no timer 7."
        assert do("cancel")["timers"] == []
        assert do("reload")["files"] == [str(board.file)]
        for verb, payload, words in (
            ("dance", "", "no verb 'dance'"), ("timer", "soon", "'soon' is no number"),
            ("timer", "x" * (MAX_ASK + 1), "larger than"), ("say", "hello", "No loudspeaker is used here"),
        ):  # fmt: skip
            assert words in do(verb, payload)["error"]["message"]
        assert board.client().get("/status")["mqtt"]["done"] == 5

    board.run(script)


def test_a_snapshot_comes_as_a_picture(tmp_path: Path) -> None:
    class Eyes(Client):
        def fetch_with_head(self, path: str, method: str = "GET") -> tuple[bytes, dict[str, str]]:
            return path.encode() * (1 if "small" in path else 1 << 20), {"X-Noctule-Size": "64x48", "Date": "now"}

    client = Eyes(tmp_path / "none")
    done = carry_out(client, "snapshot", read("snapshot", b"small one"))
    assert done.picture == b"/snapshot/small%20one"
    assert done.answer == {"bytes": 21, "size": "64x48"}
    with pytest.raises(InputError, match="at most"):
        carry_out(client, "snapshot", read("snapshot", b""))


def test_commands_that_wait_are_bounded(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "none")
    commands.close()
    commands._thread.join(WAIT)
    for _ in range(QUEUE):
        commands.put("mute", b"")
    with pytest.raises(BusyError):
        commands.put("mute", b"")
    assert read("mute", b"anything") == {"on": True}
    assert read("say", b"hello") == {"text": "hello"}
    for payload in (b"{", b"{1}", b"{" * 5000):
        with pytest.raises(InputError, match="not JSON"):
            read("timer", payload)
    commands.close()
