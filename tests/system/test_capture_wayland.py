"""A real Wayland compositor (sway, headless): its pictures, and its absence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from capture_world import QUICK, running
from noctule.capture.feed.feed import LIVE, LOST, Feed
from noctule.capture.picture.colour import rgb
from noctule.capture.process import wire
from noctule.capture.process.child import serve
from noctule.capture.process.discover import wayland
from noctule.capture.process.door import KINDS, HelperDoor
from noctule.capture.protocols.wayland import WaylandConnection
from noctule.capture.sources import wlcopy
from noctule.capture.spec import SourceSpec
from noctule.cli import run_command
from noctule.core.errors import DeviceError
from waiting import WAIT, until
from wayland_world import Sway, available

pytestmark = pytest.mark.skipif(not available(), reason="sway is not installed")


@pytest.fixture
def sway(tmp_path: Path) -> Iterator[Sway]:
    with Sway(tmp_path) as compositor:
        yield compositor


def feed_of(path: Path) -> Feed:
    return Feed(SourceSpec("desk", "wayland", str(path)), patience=QUICK)


def best_protocol(sway: Sway) -> str:
    """ext-image-copy-capture since sway 1.11."""
    connection = WaylandConnection(sway.socket)
    connection.close()
    return "ext-image-copy-capture" if wlcopy.EXT_MANAGER in connection.globals else wlcopy.Screencopy.name


def test_what_the_compositor_shows_is_what_comes(sway: Sway, tmp_path: Path) -> None:
    with running(feed_of(sway.socket)) as feed, feed.subscribe(4) as viewer:
        frame = viewer.get(WAIT)
        assert frame is not None
        assert (frame.width, frame.height) == (640, 360)
        until(lambda: np.array_equal(rgb(feed.fresh(1.0, WAIT))[180, 320], (0x20, 0x40, 0x60)), "the wall paper")
        later = viewer.get(WAIT)
        assert later is not None
        assert later.pts > frame.pts
    picture = tmp_path / "shot.png"
    assert run_command(["snapshot", f"wayland:{sway.socket}", "-o", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_frozen_or_dead_compositor_is_noticed(sway: Sway) -> None:
    with running(feed_of(sway.socket)) as feed, feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        os.killpg(sway.process.pid, signal.SIGSTOP)
        until(lambda: feed.state == LOST, "the loss")
        with pytest.raises(DeviceError, match="desk gives no picture"):
            feed.latest(0.0)
        os.killpg(sway.process.pid, signal.SIGCONT)
        until(lambda: feed.state == LIVE, "the return")
        os.killpg(sway.process.pid, signal.SIGKILL)
        until(lambda: feed.state == LOST, "the end")
        with pytest.raises(DeviceError, match="desk gives no picture"):
            feed.latest(0.0)


def test_it_is_listed(sway: Sway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sway.folder))
    ours = f"wayland:{sway.socket}"
    # a compositor that is still starting on a busy machine may be too slow for the first look
    until(lambda: [f.problem for f in wayland() if f.address == ours] == [""], "the finding")


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_screen_that_stands_on_its_side(turned: int, tmp_path: Path) -> None:
    """What is upright for the people before it is upright in the picture."""
    bar = "bar {\n position top\n height 60\n mode dock\n colors {\n background #c80000\n }\n}"
    with Sway(tmp_path, settings=f"output HEADLESS-1 transform {turned}\n{bar}") as sway:
        with running(feed_of(sway.socket)) as feed:
            until(lambda: rgb(feed.fresh(1.0, WAIT))[..., 0].max() > 150, "the bar")
            seen = rgb(feed.fresh(1.0, WAIT))
        assert seen.shape == ((360, 640, 3) if turned == 180 else (640, 360, 3))
        assert (seen[5:50, 100:300] == (0xC8, 0, 0)).all(axis=2).mean() > 0.9
        assert (seen[70:] == (0x20, 0x40, 0x60)).all()


def test_both_protocols_show_the_same(sway: Sway) -> None:
    """Each on a connection of its own, many pictures one after the other, of a screen that does not change."""
    from noctule.capture.sources.wayland import WaylandSource

    if best_protocol(sway) == wlcopy.Screencopy.name:
        pytest.skip("this compositor has one protocol only")
    shown = []
    for kind in (wlcopy.Screencopy, wlcopy.ImageCopy):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("noctule.capture.sources.wayland.copier_of", kind)
            source = WaylandSource(SourceSpec("s", "wayland", str(sway.socket), fps=240))
            assert source.open()["codec"] == kind.name
            memory = os.memfd_create("ring")
            os.ftruncate(memory, 2 * 640 * 360 * 4)
            for number in range(60):
                (given,) = source.read().pictures
                assert given.fill is not None
                given.fill(memory, number % 2 * 640 * 360 * 4)
            shown.append(os.pread(memory, 2 * 640 * 360 * 4, 0))
            os.close(memory)
            source.close()
    assert shown[0] == shown[1]
    assert any(shown[0])


def test_no_compositor() -> None:
    feed = feed_of(Path("/nonexistent/wayland-7"))
    with running(feed), pytest.raises(DeviceError, match="there is no Wayland display /nonexistent/wayland-7"):
        feed.fresh(1.0, WAIT)


def test_a_helper_in_the_session_shows_its_display_to_the_service(sway: Sway, tmp_path: Path) -> None:
    door = HelperDoor(tmp_path / "display.sock")
    stop = threading.Event()
    thread = threading.Thread(target=door.run, args=(stop, lambda: None))
    thread.start()
    feed = Feed(SourceSpec("desk", "wayland"), patience=QUICK, door=door)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(sway.folder), "PYTHONPATH": str(Path(__file__).parents[2] / "daemon")}
    command = [sys.executable, "-m", "noctule", "display", "--socket", str(tmp_path / "control.sock")]
    try:
        with running(feed):
            with pytest.raises(DeviceError, match="no desktop session shows its display to the service"):
                feed.fresh(1.0, WAIT)
            helper = subprocess.Popen(command, env=env)
            try:
                until(door.waiting, "the helper's knock")
                with feed.subscribe() as viewer:
                    frame = viewer.get(WAIT)
                    assert frame is not None
                    assert (frame.width, frame.height) == (640, 360)
                until(lambda: feed.state == "closed", "the closing")
                until(door.waiting, "the helper's return")
                with feed.subscribe() as viewer:
                    assert viewer.get(WAIT) is not None
                    helper.kill()
                    until(lambda: feed.state == LOST, "the loss of the helper")
                    until(lambda: "no desktop session" in feed.last_error or "helper left" in feed.last_error)
            finally:
                helper.kill()
                helper.wait(WAIT)
    finally:
        stop.set()
        thread.join(WAIT)
        door.close()


def test_a_helper_shows_displays_only(tmp_path: Path) -> None:
    """The service cannot have a process in somebody's session read that person's files."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        wire.send(ours, {"t": "open", "spec": SourceSpec("s", "file", "/etc/passwd").to_json()})
        assert serve(theirs, KINDS) == 0
        got = wire.Receiver(ours).get(WAIT)
        assert got is not None
        assert got[0]["message"] == "this process shows displays only, not file"


def test_the_inside_of_it(sway: Sway) -> None:
    """The same source in this process: each picture is whole, and the compositor's end is an error in words."""
    from capture_inside import Inside

    made = Inside(SourceSpec("s", "wayland", str(sway.socket), rotate=90, cursor=True))
    about, _ = made.hear("opened")
    assert about["about"]["codec"] == best_protocol(sway)
    until(lambda: np.array_equal(rgb(made.frame())[320, 180], (0x20, 0x40, 0x60)), "the wall paper")
    frame = made.frame()
    assert (frame.upright_size, frame.rotation) == ((360, 640), 90)
    os.killpg(sway.process.pid, signal.SIGKILL)
    made.thread.join(WAIT)
    assert isinstance(made.failure, DeviceError)
    assert "has closed the connection" in str(made.failure) or "not answer" in str(made.failure)
    made.ours.close()


def test_a_compositor_that_hangs_or_lies(tmp_path: Path) -> None:
    path = tmp_path / "wayland-0"
    for answer, says in (
        (b"", "has closed the connection"),
        (None, "does not answer"),
        (b"\1\0\0\0\0\0\0\0", "does not speak Wayland"),
    ):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        done = threading.Event()

        def serve_one(
            listener: socket.socket = listener, answer: bytes | None = answer, done: threading.Event = done
        ) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(answer or b"")
                if answer != b"":  # closing with something unread would reset the connection under the answer
                    done.wait(WAIT)

        thread = threading.Thread(target=serve_one)
        thread.start()
        with pytest.raises(DeviceError, match=says):
            WaylandConnection(path, timeout=0.3)
        done.set()
        thread.join(WAIT)
        listener.close()
        path.unlink()
    with pytest.raises(DeviceError, match="is not running"):
        WaylandConnection(path)


def test_a_missing_protocol_is_said(sway: Sway) -> None:
    connection = WaylandConnection(sway.socket)
    with pytest.raises(DeviceError, match="offers no nobody_has_this_v9") as refused:
        connection.bind("nobody_has_this_v9", 1, lambda opcode, body: None)
    assert refused.value.hint == "its compositor does not let programs take pictures of the screen"
    connection.close()


def test_the_helper_without_a_service(tmp_path: Path) -> None:
    from noctule.cli.display import attend

    path = tmp_path / "display.sock"
    assert attend(path) == f"{path}: No such file or directory"
    door = HelperDoor(path)
    stop = threading.Event()
    thread = threading.Thread(target=door.run, args=(stop, lambda: None))
    thread.start()
    said: list[str] = []
    helper = threading.Thread(target=lambda: said.append(attend(path)))
    helper.start()
    until(door.waiting, "the knock")
    taken = door.take()
    wire.send(taken, {"t": "open", "spec": SourceSpec("s", "file", "/etc/passwd").to_json()})
    got = wire.Receiver(taken).get(WAIT)
    assert got is not None
    assert "shows displays only" in got[0]["message"]
    taken.close()
    helper.join(WAIT)
    assert said == [""]
    with pytest.raises(DeviceError, match="no desktop session shows"):
        door.take()
    stop.set()
    thread.join(WAIT)
    door.close()
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(DeviceError, match="cannot be made"):
        HelperDoor(blocked / "display.sock")
