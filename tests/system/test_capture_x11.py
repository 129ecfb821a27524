"""A real X server: pictures, masks of it, and every way in which it can go away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from capture_world import QUICK, running
from noctule.capture.feed.feed import LIVE, LOST, Feed
from noctule.capture.picture.colour import rgb
from noctule.capture.process import discover
from noctule.capture.protocols.x11 import X11Connection, probe
from noctule.capture.protocols.x11_cursor import Pointer
from noctule.capture.sources.x11 import X11Source
from noctule.capture.spec import SourceSpec
from noctule.cli import run_command
from noctule.core.errors import DeviceError
from tools.bench import clock
from tools.bench.xserver import XServer
from waiting import WAIT, until

pytestmark = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")


@pytest.fixture
def screen() -> Iterator[XServer]:
    with XServer() as server:
        clock.draw(server.pixels, 42)
        yield server


def feed_of(address: str, **about: object) -> Feed:
    return Feed(SourceSpec("screen", "x11", address, **about), patience=QUICK)  # type: ignore[arg-type]


def test_what_is_on_the_screen_is_what_comes(screen: XServer) -> None:
    screen.pixels[200, 300] = (10, 20, 230, 0)
    with running(feed_of(screen.address)) as feed:
        frame = feed.fresh(1.0, WAIT)
        assert (frame.width, frame.height, frame.pix_fmt) == (640, 360, "bgr0")
        assert clock.read(rgb(frame)) == 42
        assert rgb(frame)[200, 300].tolist() == [230, 20, 10]
        clock.draw(screen.pixels, 43)
        until(lambda: clock.read(rgb(feed.fresh(0.2, WAIT))) == 43, "the new number")
        assert 0 <= time.monotonic() - frame.captured < WAIT


def test_size_and_mask(screen: XServer) -> None:
    feed = feed_of(screen.address, width=320, height=200, masks=((0.0, 0.0, 1.0, 0.5),))
    with running(feed):
        frame = feed.fresh(1.0, WAIT)
        assert (frame.width, frame.height) == (320, 200)
        assert (rgb(frame)[:100] == 128).all()
        assert clock.read(rgb(frame)) is None


@contextmanager
def arrow(address: str, x: int, y: int) -> Iterator[None]:
    """A black arrow with a white edge as the pointer, at (x, y), for as long as its client is there."""
    with X11Connection(address, WAIT) as client:
        font, cursor = client.ids + 1, client.ids + 2
        client.wire.send(45, 0, struct.pack("<IHxx", font, 6) + b"cursor")
        glyph = struct.pack("<IIIHH6H", cursor, font, font, 68, 69, 0, 0, 0, 65535, 65535, 65535)
        client.wire.send(94, 0, glyph)
        client.wire.send(2, 0, struct.pack("<III", client.root, 1 << 14, cursor))
        client.wire.send(41, 0, struct.pack("<IIhhHHhh", 0, client.root, 0, 0, 0, 0, x, y))
        assert client.size() == (640, 360)  # all of it has been done
        yield


def test_the_pointer_is_shown_where_it_is_asked_for(screen: XServer) -> None:
    screen.pixels[:] = (60, 120, 180, 0)
    with arrow(screen.address, 300, 200):
        with running(feed_of(screen.address)) as feed:
            assert (rgb(feed.fresh(1.0, WAIT)) == (180, 120, 60)).all()
        with running(feed_of(screen.address, cursor=True)) as feed:
            seen = rgb(feed.fresh(1.0, WAIT))
    changed = np.argwhere((seen != (180, 120, 60)).any(axis=2))
    assert 20 < len(changed) < 400
    assert (changed >= (195, 295)).all()
    assert (changed <= (225, 325)).all()
    colours = {tuple(pixel) for pixel in seen[tuple(changed.T)].tolist()}
    assert colours == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize(("x", "y"), [(0, 0), (639, 359), (639, 0), (320, 359)])
def test_a_pointer_at_the_edge(screen: XServer, x: int, y: int) -> None:
    screen.pixels[:] = (60, 120, 180, 0)
    with arrow(screen.address, x, y):
        source = X11Source(SourceSpec("s", "x11", screen.address, cursor=True))
        source.open()
        plane = np.full((360, 640 * 4), 77, np.uint8)
        (picture,) = source.read().pictures
        assert picture.finish is not None
        picture.finish([plane])
        source.close()
    changed = np.argwhere((plane.reshape(360, 640, 4)[..., :3] != 77).any(axis=2))
    assert len(changed) > 0
    assert np.abs(changed - (y, x)).max() < 20


def test_half_clear_pointers_are_blended() -> None:
    from types import SimpleNamespace

    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0] = (0, 0, 128, 128)  # half clear red: blue, green, red, opacity
    image[1, 1] = (10, 20, 30, 255)
    reply = bytes(8) + struct.pack("<hhHHHH", 5, 3, 2, 2, 1, 1) + bytes(12) + image.tobytes()
    answers = [reply, b"", bytes(8) + struct.pack("<hhHHHH", 0, 0, 9, 9, 0, 0) + bytes(12)]
    wire = SimpleNamespace(extension=lambda name: 7, request=lambda *about: answers.pop(0) if about[1] else b"yes")
    pointer = Pointer(SimpleNamespace(wire=wire, what="it"))  # type: ignore[arg-type]
    plane = np.full((8, 8 * 4), 100, np.uint8)
    for _ in range(3):  # then none, then one that is cut short
        pointer.paint([plane], 8)
    screen = plane.reshape(8, 8, 4)
    assert screen[2, 4].tolist() == [50, 50, 178, 100]
    assert screen[3, 5].tolist() == [10, 20, 30, 100]
    assert (screen[2, 5] == 100).all()
    lacking = SimpleNamespace(wire=SimpleNamespace(extension=lambda name: None), what="X11 display :1")
    with pytest.raises(DeviceError, match="X11 display :1 has no XFIXES"):
        Pointer(lacking)  # type: ignore[arg-type]


def test_a_frozen_server_is_noticed_and_comes_back(screen: XServer) -> None:
    with running(feed_of(screen.address)) as feed, feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        os.kill(screen.process.pid, signal.SIGSTOP)
        try:
            until(lambda: feed.state == LOST, "the loss")
            with pytest.raises(DeviceError, match="screen gives no picture: "):
                feed.latest(0.0)
            until(lambda: feed.error is not None and "does not answer" in feed.error.message, "the reason")
        finally:
            os.kill(screen.process.pid, signal.SIGCONT)
        until(lambda: feed.state == LIVE, "the return")
        assert clock.read(rgb(feed.fresh(1.0, WAIT))) == 42


def test_a_server_that_goes_away_and_comes_back(screen: XServer) -> None:
    number = int(screen.address[1:])
    with running(feed_of(screen.address)) as feed, feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        screen.close()
        until(lambda: feed.state == LOST and feed.error is not None and "is not running" in feed.error.message)
        with pytest.raises(DeviceError, match=f"X11 display :{number} is not running"):
            feed.latest(0.0)
        with XServer(display=number) as again:
            clock.draw(again.pixels, 77)
            until(lambda: feed.state == LIVE, "the return")
            until(lambda: clock.read(rgb(feed.fresh(1.0, WAIT))) == 77, "the new server's picture")


def test_a_server_without_shared_memory_is_refused_in_words() -> None:
    with (
        XServer(extra=["-extension", "MIT-SHM"]) as server,
        running(feed_of(server.address)) as feed,
        pytest.raises(DeviceError, match=r"has no shared memory \(MIT-SHM\)"),
    ):
        feed.fresh(1.0, WAIT)


@pytest.mark.skipif(
    shutil.which("Xwayland") is None or shutil.which("sway") is None, reason="no sway or Xwayland here"
)
def test_xwayland_is_refused_in_words(tmp_path: Path) -> None:
    from wayland_world import Sway

    with Sway(tmp_path) as sway:
        process, display = sway.xwayland()
        try:
            with pytest.raises(DeviceError, match="is Xwayland: it shows only black") as refused:
                probe(display)
        finally:
            process.kill()
            process.wait(5)
        assert "noctule-display.service" in refused.value.hint


def test_sources_lists_it_and_why_another_cannot_be_used(
    screen: XServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with XServer(extra=["-extension", "MIT-SHM"]) as other:
        found = {f.address: f for f in discover.x11()}
        assert found[f"x11:{screen.address}"].about == "X11 display, 640x360, depth 24"
        assert found[f"x11:{screen.address}"].problem == ""
        assert "no shared memory" in found[f"x11:{other.address}"].problem
        assert run_command(["sources", "--socket", str(tmp_path / "none")]) == 0
        shown = capsys.readouterr().out
        assert f"x11:{screen.address}" in shown
        assert "has no shared memory (MIT-SHM)" in shown
        assert "The daemon is not running" in shown


def test_the_snapshot_and_clip_commands(screen: XServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    picture = tmp_path / "a" / "shot.png"
    assert run_command(["snapshot", f"x11:{screen.address}", "-o", str(picture)]) == 65, "its folder must be there"
    assert "there is no folder" in capsys.readouterr().err
    picture.parent.mkdir()
    assert run_command(["snapshot", f"x11:{screen.address}", "-o", str(picture)]) == 0
    assert "640x360" in capsys.readouterr().out
    assert clock.read(np.asarray(Image.open(picture))) == 42
    movie = tmp_path / "clip.mp4"
    assert run_command(["clip", f"x11:{screen.address}", "--before", "0", "--after", "1", "-o", str(movie)]) == 0
    from noctule.capture.files.reader import VideoFile

    with VideoFile(movie) as file:
        numbers = [clock.read(p.frame().luma()) for p in file.pictures()]
    assert len(numbers) >= 15
    assert set(numbers) == {42}
    assert run_command(["snapshot", "x11::63999", "-o", str(picture)]) == 69
    assert "X11 display :63999 is not running" in capsys.readouterr().err
    assert run_command(["snapshot", f"x11:{screen.address}", "-o", "x.gif"]) == 65
    assert run_command(["snapshot", f"x11:{screen.address}", "--max-age", "0"]) == 65
    assert run_command(["clip", f"x11:{screen.address}", "-o", "x.avi"]) == 65


# --- servers that are not what they seem


class FakeServer:
    """A socket where an X server's would be; `answer` gets the connection."""

    def __init__(self, number: int, answer: object) -> None:
        self.path = Path(f"/tmp/.X11-unix/X{number}")
        self.path.parent.mkdir(exist_ok=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(self.path))
        self.sock.listen(1)
        self.thread = threading.Thread(target=self._serve, args=(answer,), daemon=True)
        self.thread.start()

    def _serve(self, answer: object) -> None:
        connection, _ = self.sock.accept()
        with connection:
            answer(connection)  # type: ignore[operator]

    def close(self) -> None:
        self.thread.join(WAIT)
        self.sock.close()
        self.path.unlink()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda c: c.recv(1), "broke off the connection"),
        (lambda c: (c.recv(100), c.sendall(b"\0\x05" + b"\x0b\0\0\0\x02\0" + b"sorry\0\0\0")), "refuses us: sorry"),
        (lambda c: (c.recv(100), c.sendall(b"\x02\0\0\0\0\0\0\0")), "refuses us: it asks for more"),
        (lambda c: threading.Event().wait(1.0), "does not answer"),
    ],
)
def test_servers_that_refuse_or_hang(answer: object, says: str) -> None:
    server = FakeServer(63555, answer)
    try:
        with pytest.raises(DeviceError, match=says):
            probe(":63555", timeout=0.3)
    finally:
        server.close()


def test_addresses_of_other_machines_are_refused() -> None:
    with pytest.raises(DeviceError, match='"elsewhere:0" is not an X11 display of this machine'):
        probe("elsewhere:0")


def test_a_cookie_is_used(tmp_path: Path) -> None:
    """A server that asks for a cookie lets us in with it, and refuses us in words without."""
    cookie = tmp_path / "auth"
    secret = bytes(range(16))

    def field(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    entry = b"\xff\xff" + field(b"") + field(b"") + field(b"MIT-MAGIC-COOKIE-1") + field(secret)
    cookie.write_bytes(entry)
    with XServer(extra=["-auth", str(cookie)]) as server:
        assert probe(server.address, env={"XAUTHORITY": str(cookie)}).width == 640
        with pytest.raises(DeviceError, match="refuses us"):
            probe(server.address, env={"XAUTHORITY": str(tmp_path / "none")})
        broken = tmp_path / "broken"
        broken.write_bytes(b"\0\1broken")
        with pytest.raises(DeviceError, match="refuses us"):
            probe(server.address, env={"XAUTHORITY": str(broken)})


def test_nothing_is_left_behind() -> None:
    """Every capture process of this test run has ended."""
    mine = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "noctule.capture.process.child"], capture_output=True, check=False
    )
    assert mine.stdout == b""
