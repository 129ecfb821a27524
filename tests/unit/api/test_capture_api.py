"""Pictures over HTTP, as clients of the socket and the browser of a person on this machine get them."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from capture_world import number_in, plain_video
from noctule.api.client import Client
from noctule.api.http.json import json_errors
from noctule.api.page import StatusPage
from noctule.api.routes.capture import CaptureApi
from noctule.capture.all_sources import Sources
from noctule.capture.feed.broadcast import Broadcast, StreamPart
from noctule.capture.files.remote import parts
from noctule.cli import run_command
from noctule.config.schema import Config, SourceConfig
from noctule.core.errors import DeviceError, InputError, UnavailableError
from waiting import WAIT, until


class World:
    """Sources, and an HTTP server over them in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = Config(
            sources={
                "camera": SourceConfig(kind="file", address=str(plain_video())),
                "gone": SourceConfig(kind="file", address=str(folder / "gone.mp4")),
                "kept": SourceConfig(kind="file", address=str(plain_video()), preroll=3.0),
            }
        )
        config.capture.folder, config.capture.min_free_mb = folder / "pictures", 0
        config.capture.timeout, config.capture.linger, config.capture.stall = 5.0, 0.3, 2.0
        self.said: list[tuple[str, str]] = []
        self.eyes = Sources(config, lambda kind, message, level, fields: self.said.append((kind, message)))
        self.eyes.start()
        self.socket = folder / "control.sock"
        self.failures: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.api = CaptureApi(self.eyes)
        self.on_loop(self._serve())

    async def _serve(self) -> None:
        app = web.Application(middlewares=[json_errors(lambda request, error: self.failures.append(error))])
        app.add_routes(self.api.routes())
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    def on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT)

    @property
    def client(self) -> Client:
        return Client(self.socket, WAIT)

    def close(self) -> None:
        self.on_loop(self._runner.cleanup())
        self.api.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()
        self.eyes.stop()
        assert self.failures == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("api"))
    yield made
    made.close()


def picture(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_snapshot_is_of_the_present(world: World) -> None:
    data, head = world.client.fetch_with_head("/snapshot/camera")
    assert number_in(picture(data)) is not None
    assert head["X-Noctule-Size"] == "320x180"
    assert head["Content-Type"] == "image/jpeg"
    data, head = world.client.fetch_with_head("/snapshot/camera?format=png&max_age=1")
    assert data.startswith(b"\x89PNG")


def test_a_frame_comes_from_memory_and_opens_nothing(world: World) -> None:
    feed = world.eyes.feed("camera")
    until(lambda: feed.state == "closed", "the closing")
    with pytest.raises(DeviceError, match=r"camera has not given a picture yet \(closed\)"):
        world.client.fetch_with_head("/frame/camera.jpg")
    assert feed.state == "closed"
    with feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        data, _ = world.client.fetch_with_head("/frame/camera.jpg?max_age=5")
        assert number_in(picture(data)) is not None


def test_a_source_without_pictures_answers_503_with_the_reason(world: World) -> None:
    for path in ("/snapshot/gone", "/stream/gone.mjpg", "/frame/gone.jpg"):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(world.socket))
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 503, path
        assert body["error"]["message"].startswith("gone "), body
        if path != "/frame/gone.jpg":
            assert "there is no file" in body["error"]["message"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/snapshot/camra", 'there is no source named "camra"'),
        ("/snapshot/camera?max_age=0", "max_age must be a number from 0.05"),
        ("/snapshot/camera?max_age=x", "max_age must be a number"),
        ("/snapshot/camera?format=gif", "format must be jpeg or png, not 'gif'"),
        ("/stream/camera.mjpg?quality=0", "quality must be a number from 1 to 100"),
    ],
)
def test_wrong_requests(world: World, path: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        world.client.fetch_with_head(path)
    assert says in str(refused.value)


def test_a_stream_is_encoded_once_for_all_viewers(world: World) -> None:
    with (
        world.client.open_stream("/stream/camera.mjpg") as one,
        world.client.open_stream("/stream/camera.mjpg") as two,
    ):
        first = [next(p) for p in [parts(one)] for _ in range(10)]
        second = [next(p) for p in [parts(two)] for _ in range(10)]
    by_seq = {head["x-noctule-seq"]: data for head, data in first}
    shared = [(by_seq[head["x-noctule-seq"]], data) for head, data in second if head["x-noctule-seq"] in by_seq]
    assert shared
    assert all(a == b for a, b in shared)
    numbers = [number_in(picture(data)) for _, data in first]
    assert None not in numbers
    (broadcast,) = [b for (name, _), b in world.api._broadcasts.items() if name == "camera"]
    assert broadcast.wait(WAIT), "the encoder's thread ends with its viewers"


def test_a_stream_of_a_source_that_dies_ends_with_the_reason(world: World) -> None:
    with world.client.open_stream("/stream/camera.mjpg?quality=50") as stream:
        shown = parts(stream)
        assert next(shown)[0]["content-type"] == "image/jpeg"
        world.client.post("/pause", {"source": "camera"})
        try:
            last = list(shown)[-1]
        finally:
            world.client.post("/resume", {"source": "camera"})
    assert last[0]["content-type"].startswith("text/plain")
    assert b"camera is paused" in last[1]


def test_sources_pause_and_resume(world: World) -> None:
    listed = {s["name"]: s for s in world.client.get("/sources")["sources"]}
    assert set(listed) == {"camera", "gone", "kept"}
    assert world.client.post("/pause", {}) == {"paused": ["camera", "gone", "kept"]}
    until(lambda: world.eyes.feed("kept").state == "paused")
    with pytest.raises(UnavailableError, match="camera is paused"):
        world.client.fetch_with_head("/snapshot/camera")
    assert world.client.post("/resume", {})["resumed"] == ["camera", "gone", "kept"]
    with pytest.raises(InputError, match="Unknown key 'sauce'"):
        world.client.post("/pause", {"sauce": "camera"})


def test_a_clip_has_seconds_from_before(world: World) -> None:
    from noctule.capture.files.reader import VideoFile

    feed = world.eyes.feed("kept")
    until(lambda: feed.status()["preroll_s"] > 2, "two seconds of pictures")
    answer = world.client.post("/clip?source=kept&before=2&after=1")
    assert answer["before"] >= 1.5
    assert 2.4 <= answer["seconds"] <= 4.5
    assert answer["ended_early"] == ""
    with VideoFile(answer["file"]) as file:
        numbers = [number_in(p.frame().luma()) for p in file.pictures()]
    assert None not in numbers
    steps = np.diff([n for n in numbers if n is not None]) % 120
    assert set(steps.tolist()) == {1}, "no picture is missing between before and after"
    with pytest.raises(DeviceError, match="gone gave nothing for a clip: there is no file"):
        world.client.post("/clip?source=gone&before=0&after=1")
    with pytest.raises(InputError, match="after must be a number"):
        world.client.post("/clip?source=kept&after=0")


def test_a_clip_of_a_source_that_dies_says_so(world: World) -> None:
    made: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: made.append(world.client.post("/clip?source=kept&before=1&after=8")))
    feed = world.eyes.feed("kept")
    until(lambda: feed.status()["state"] == "live")
    thread.start()
    until(lambda: feed.status()["viewers"] == 1)
    os.kill(feed.status()["pid"], signal.SIGSTOP)
    thread.join(WAIT)
    assert made[0]["ended_early"] != ""
    assert made[0]["seconds"] > 0


def test_the_commands_use_the_running_daemon(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--socket", str(world.socket)]
    assert run_command(["snapshot", "camera", "-o", str(tmp_path / "a.png"), "--max-age", "3", *at]) == 0
    assert number_in(np.asarray(Image.open(tmp_path / "a.png"))) is not None
    assert run_command(["clip", "kept", "--before", "1", "--after", "0.5", "-o", str(tmp_path / "a.mp4"), *at]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 1000
    assert run_command(["extract", "camera", "--every", "0.5", "--for", "1.2", "-o", str(tmp_path / "e"), *at]) == 0
    index = json.loads((tmp_path / "e" / "index.json").read_text())
    assert len(index["pictures"]) >= 2
    assert run_command(["sources", *at]) == 0
    shown = capsys.readouterr().out
    assert "In the daemon:" in shown
    assert "there is no file" in shown
    assert run_command(["sources", "--json", *at]) == 0
    assert {s["name"] for s in json.loads(capsys.readouterr().out)["sources"]} == {"camera", "gone", "kept"}
    assert run_command(["snapshot", "gone", "-o", str(tmp_path / "b.jpg"), *at]) == 69
    assert "there is no file" in capsys.readouterr().err
    assert run_command(["pause", "camera", *at]) == 0
    assert run_command(["resume", *at]) == 0
    assert capsys.readouterr().out.splitlines() == ["paused: camera", "resumed: camera, gone, kept"]


def test_a_stream_part_that_is_too_large_or_missing_ends_it() -> None:
    assert list(parts(io.BytesIO(b"--x\r\nContent-Length: 99999999999\r\n\r\n"))) == []
    assert list(parts(io.BytesIO(b"noise\r\n--x\r\nContent-Length: 2\r\nA: b\r\n\r\nhi\r\n"))) == [
        ({"content-length": "2", "a": "b"}, b"hi")
    ]


def test_a_broadcast_ends_in_words_when_nothing_comes(world: World) -> None:
    got: list[StreamPart] = []
    broadcast = Broadcast(world.eyes.feed("gone"), 80, 1.0, 2.0)
    broadcast.join(got.append)
    assert broadcast.wait(WAIT)
    assert got[-1].last
    assert b"there is no file" in got[-1].data


# --- the page


@pytest.fixture
def page(world: World) -> Iterator[StatusPage]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = {
        "version": "0",
        "state": "ready",
        "summary": "Ready: fake",
        "config": "secret",
        "parts": [
            {"name": "wake", "state": "working", "reason": ""},
            {"name": "lm", "state": "degraded", "reason": "no model"},
        ],
    }
    made = StatusPage(CaptureApi(world.eyes), lambda: state, port)
    world.on_loop(made.start())
    yield made
    world.on_loop(made.stop())


def ask(page: StatusPage, path: str, method: str = "GET", **head: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=WAIT)
    connection.request(
        method, path, body=head.pop("body", None), headers={k.replace("_", "-"): v for k, v in head.items()}
    )
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data, dict(answer.headers)


def test_the_page_is_for_those_who_have_its_token(page: StatusPage, tmp_path: Path) -> None:
    assert ask(page, "/")[0] == 403
    assert ask(page, "/?token=wrong")[0] == 403
    assert ask(page, f"/?token={page.token}", Host="evil.example")[0] == 403
    status, body, head = ask(page, f"/?token={page.token}")
    assert status == 200
    assert b"<title>Noctule</title>" in body
    assert "default-src 'self'" in head["Content-Security-Policy"]
    assert "HttpOnly" in head["Set-Cookie"]
    assert "SameSite=Strict" in head["Set-Cookie"]
    cookie = head["Set-Cookie"].split(";")[0]
    status, body, _ = ask(page, "/page.json", Cookie=cookie)
    told = json.loads(body)
    assert told["status"] == {k: told["status"][k] for k in ("version", "state", "summary", "parts")}
    assert {s["name"] for s in told["sources"]} == {"camera", "gone", "kept"}
    assert ask(page, "/clip?source=camera", "POST", Cookie=cookie, X_Noctule="page")[0] == 404
    assert ask(page, "/pause", "POST", Cookie=cookie, body="{}")[0] == 403
    assert ask(page, "/snapshot/camra", Cookie=cookie)[0] == 400
    page.write_address(tmp_path / "page.url")
    assert (tmp_path / "page.url").read_text().strip() == page.address
    assert (tmp_path / "page.url").stat().st_mode & 0o777 == 0o640


def test_a_port_that_is_taken_is_one_sentence(page: StatusPage, world: World) -> None:
    other = StatusPage(CaptureApi(world.eyes), dict, page.port)
    with pytest.raises(DeviceError, match=f"the status page cannot use port {page.port}: "):
        world.on_loop(other.start())


def test_listeners_are_called_in_order(world: World) -> None:
    """Clips hear packets of the pre-roll first, and then each new one."""
    feed = world.eyes.feed("kept")
    until(lambda: feed.state == "live" and feed._preroll.stream is not None)
    heard: list[float] = []
    listener: Callable[..., None] = lambda stream, timed: heard.append(timed.packet.pts)  # noqa: E731
    feed.listen(listener, since=0.0)
    until(lambda: len(heard) > 40)
    feed.unlisten(listener)
    assert heard == sorted(heard)
