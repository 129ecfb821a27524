"""Whatever comes over a socket: HTTP, Wyoming, MQTT. The service answers or hangs up, and lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from api_world import ApiWorld, status_of_a_service
from hypothesis import example, given
from hypothesis import strategies as st

from fuzzing import damaged, encoded, fuzz, refuses_or_takes, twisted, values
from noctule.api.control import Control, ControlServer
from noctule.api.mqtt.link import MqttLink
from noctule.api.routes.capture import CaptureApi
from noctule.api.routes.operate import routes as operating
from noctule.api.routes.voice import routes as hearing_routes
from noctule.api.wyoming.wire import MAX_LINE, WireMessage, read
from noctule.assistant.actions.volume import Mixer
from noctule.capture.all_sources import Sources
from noctule.config.schema import Api, Config, SourceConfig
from noctule.core.clock import SystemClock
from noctule.core.errors import InputError, UnavailableError
from noctule.core.events import Bus
from noctule.core.request_text import clean_request
from noctule.service.component import Host
from noctule.service.request import Ask
from noctule.voice.wakewords.clip_folder import WakeClips
from waiting import WAIT


class FakeHearing:
    """What the routes of hearing need; the clips are real."""

    def __init__(self, folder: Path) -> None:
        self.clips = WakeClips(folder, 8, 30)
        self.ears = SimpleNamespace(muted=False)
        self.words = SimpleNamespace(tune=self.tune, use=self.use, in_force=lambda: {"hey": 0.5})

    def mute_by_hand(self, on: bool, why: str) -> bool:
        self.ears.muted = on
        return True

    def status(self) -> Mapping[str, Any]:
        return {"words": {"hey": 0.5}, "saving": False}

    def save_clips(self, on: bool) -> None:
        pass

    def use(self, words: list[str]) -> bool:
        raise UnavailableError("no wake words here")

    def tune(self, word: str, threshold: float | None) -> dict[str, float]:
        if word != "hey" or (threshold is not None and not 0 <= threshold <= 1):
            raise InputError("no such word or threshold")
        return {"hey": threshold or 0.5}

    def say(self, text: str) -> Future[bool]:
        raise UnavailableError("nobody speaks here")

    def last_utterance(self) -> Any:
        raise UnavailableError("nothing was heard")


class FakeModels:
    def status(self) -> Mapping[str, Any]:
        return {"model": "m"}

    def use(self, model: str) -> Future[Any]:
        raise UnavailableError("no models here")


class FakeOperation:
    config = Config()
    verbosity = "info"

    async def to_its_end(self, future: Future[Any]) -> Any:
        raise AssertionError("no exchange begins here")

    def set_verbosity(self, level: str) -> None:
        pass


class Everything(ApiWorld):
    """Every route that the service has, over parts that answer at once."""

    async def _start(self) -> None:
        self.status = status_of_a_service
        folder = self.path.parent
        config = Config(sources={"cam": SourceConfig(kind="file", address=str(folder / "none.mp4"))})
        config.capture.folder, config.capture.timeout = folder / "pictures", 0.5
        self.eyes = CaptureApi(Sources(config))
        extra = [
            *operating(FakeOperation(), FakeModels(), Mixer(lambda: "", find=lambda name: None)),  # type: ignore[arg-type]
            *hearing_routes(FakeHearing(folder / "clips")),  # type: ignore[arg-type]
            *self.eyes.routes(),
        ]
        control = Control(
            self.bus, SystemClock(), lambda: self.status(), self._reload, self._submit,
            lambda text: clean_request(text, 4096), lambda: 5.0, lambda: 4096,
        )  # fmt: skip
        self.server = ControlServer(control, Api(**self.settings), extra)
        await self.server.start()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    world = Everything(tmp_path_factory.mktemp("api"), read_timeout=0.3, max_body=4096)
    with world:
        yield world
    world.eyes.close()


def answered(api: Everything, data: bytes) -> bytes:
    """Everything that comes back until the other side closes."""
    out = bytearray()
    with api.connection() as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while (piece := sock.recv(65536)) and len(out) < 1 << 20:
            out += piece
    return bytes(out)


def healthy(api: Everything, data: bytes) -> None:
    got = answered(api, data)
    assert got == b"" or got.startswith(b"HTTP/1."), got[:80]
    broken = [e.message for e in api.events if e.message.startswith("A request failed")]
    api.events.clear()
    assert not broken
    assert b"The service made a mistake" not in got
    assert api.client().get("/health") == {"ok": True}


GET = b"GET /status HTTP/1.1\r\nHost: noctule\r\nConnection: close\r\n\r\n"
POST = (
    b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n"
    b'{"text": "hi", "stream": false}'
)
CHUNKED = (
    b"POST /ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1f\r\n{"text": "hi", "stream": false}\r\n0\r\n\r\n'
)


@fuzz(13)
@given(data=st.sampled_from([GET, POST, CHUNKED]).flatmap(damaged) | st.binary(max_size=200))
@example(data=b"")
@example(data=b"\0" * 1000)
@example(data=b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000)
@example(data=b"GET " + b"/" * 10_000 + b" HTTP/1.1\r\n\r\n")
@example(data=b"POST /ask HTTP/1.1\r\nContent-Length: -5\r\n\r\n")
@example(data=b"POST /ask HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n{")
@example(data=b"POST /ask HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
@example(data=b"POST /ask HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")
@example(data=b"POST /ask HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08")
@example(data=b"GET /status HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
@example(data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(data=GET * 50)
@example(data=b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
def test_any_bytes_on_the_control_socket(api: Everything, data: bytes) -> None:
    healthy(api, data)


PATHS = [
    "/", "/health", "/status", "/help", "/metrics", "/v1/models", "/model", "/log", "/volume", "/wake", "/sources",
    "/wake/clips/{}", "/snapshot/{}", "/frame/{}.jpg", "/clip?source={}", "/snapshot/cam?{}", "/frame/cam.jpg?{}",
    "/utterance",
]  # fmt: skip
NAMES = st.text(max_size=20) | st.sampled_from(
    ["..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/", "%00", "a" * 3000, "max_age=nan", "max_age=1e999",
     "quality=-1", "quality=%zz", "format=exe", "before=inf&after=nan", "cam;cam", "%ff%fe", "\u202e", "//x"]
)  # fmt: skip


@fuzz(20)
@given(path=st.sampled_from(PATHS), name=NAMES, method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "X"]))
def test_any_name_in_any_path(api: Everything, path: str, name: str, method: str) -> None:
    target = path.replace("{}", name).encode("utf-8", "surrogatepass").replace(b" ", b"+")
    target = bytes(byte for byte in target if byte > 0x20)
    healthy(api, method.encode() + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


BODIES: dict[str, Any] = {
    "/ask": {"text": "hi", "stream": False, "timeout": 1.0},
    "/model": {"use": "m"},
    "/log": {"level": "debug"},
    "/volume": {"set": 40},
    "/mute": {"on": True},
    "/wake": {"word": "hey", "threshold": 0.5},
    "/wake/clips/x": {"label": "yes"},
    "/pause": {"source": "cam"},
    "/resume": {},
    "/reload": {},
    "/v1/chat/completions": {
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "max_tokens": 5,
        "stop": ["x"], "seed": 1, "stream": False, "top_p": 0.9,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    },
}  # fmt: skip


@fuzz(26)
@given(data=st.data(), path=st.sampled_from(sorted(BODIES)))
def test_any_json_in_any_body(api: Everything, data: st.DataObject, path: str) -> None:
    body = data.draw(twisted(BODIES[path]).map(encoded) | values().map(encoded) | damaged(encoded(BODIES[path])))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    healthy(api, head.encode() + body)


# -- Wyoming ---------------------------------------------------------------------------------------------------------

TRANSCRIPT = WireMessage("transcript", {"text": "hi", "language": "en"}).encode()
SOUND = WireMessage("audio-chunk", {"rate": 16000, "width": 2, "channels": 1}, bytes(64)).encode()


def wyoming(data: bytes) -> list[WireMessage]:
    async def run() -> list[WireMessage]:
        reader = asyncio.StreamReader(limit=MAX_LINE)
        reader.feed_data(data)
        reader.feed_eof()
        found = []
        while (message := await asyncio.wait_for(read(reader), WAIT)) is not None:
            found.append(message)
        return found

    return asyncio.run(run())


@fuzz(20)
@given(
    data=damaged(TRANSCRIPT + SOUND)
    | values().map(lambda v: encoded(v) + b"\n")
    | twisted({"type": "audio-chunk", "data": {"rate": 1}, "data_length": 2, "payload_length": 3}).map(
        lambda v: encoded(v) + b"\n{}abc"
    )
)
@example(data=b"[" * 5000 + b"\n")
@example(data=b'{"type": "a", "payload_length": 1e400}\n')
@example(data=b'{"type": "a", "payload_length": 1' + b"0" * 5000 + b"}\n")
@example(data=b'{"type": "a", "data_length": true}\n')
@example(data=b"a" * 100_000)
def test_any_bytes_of_wyoming(data: bytes) -> None:
    with refuses_or_takes():
        wyoming(data)


# -- MQTT ------------------------------------------------------------------------------------------------------------


class Client:
    """Takes what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def publish(self, topic: str, payload: str, **about: Any) -> None:
        json.loads(payload)
        payload.encode("utf-8")
        self.sent.append((topic, payload))


@fuzz(26)
@given(
    payload=st.binary(max_size=300) | st.text().map(lambda t: t.encode("utf-8", "surrogatepass")),
    retain=st.booleans(),
    full=st.booleans(),
)
@example(payload=b"", retain=False, full=False)
@example(payload=b"a" * 1_000_000, retain=False, full=False)
@example(payload=b"\xff" * 100, retain=False, full=False)
@example(payload=b"\xed\xa0\x80", retain=False, full=False)
def test_any_payload_from_the_broker(payload: bytes, retain: bool, full: bool) -> None:
    config = Config()
    config.mqtt.host, config.mqtt.commands = "broker", True
    asked: list[Ask] = []

    def submit(ask: Ask) -> None:
        if full:
            raise UnavailableError("nobody is there")
        asked.append(ask)

    host = Host(lambda: config, Bus(), SystemClock(), submit, lambda text: clean_request(text, 4096))
    link, client = MqttLink(host), Client()
    with refuses_or_takes():
        message = SimpleNamespace(topic=link.topics.of("ask"), payload=payload, retain=retain)
        link._on_message(client, None, message)  # type: ignore[arg-type]
    assert not (retain and (asked or client.sent)), "what was retained is from another time"
    assert retain or len(asked) + len(client.sent) == 1
    for ask in asked:
        assert len(ask.text) <= 4096
