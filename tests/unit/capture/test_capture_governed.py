"""Sources do less while they run: fewer pictures, no watching, no pre-roll; and as much as before afterwards."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from app_world import World, world
from board_world import FakeBoard

from capture_world import number_in, plain_video, running, video
from noctule.app import Plugged
from noctule.capture.component import CaptureComponent
from noctule.capture.feed.feed import Feed
from noctule.capture.feed.watch import Watch
from noctule.capture.process import wire
from noctule.capture.process.child import CaptureLoop
from noctule.capture.process.life import Patience
from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.capture.states import CLOSED, LIVE
from noctule.service.component import Host
from waiting import WAIT, until

__all__ = ["world"]  # the fixture
#: closes soon when nobody looks; a busy machine may take its time with everything else.
CALM = Patience(stall=10.0, open=15.0, linger=0.2, backoff=0.1, backoff_max=0.5, look=0.1)


def gaps(viewer: Any, count: int) -> list[float]:
    """Seconds of video time between the next pictures."""
    frames = [viewer.get(WAIT) for _ in range(count + 1)]
    assert None not in frames
    return [float(b.pts - a.pts) for a, b in itertools.pairwise(frames)]


def film(**about: Any) -> Feed:
    return Feed(SourceSpec("film", "file", str(plain_video()), **about), patience=CALM)


def test_a_running_source_is_slowed_and_let_go_again() -> None:
    with running(film()) as feed, feed.subscribe(4) as viewer:
        assert max(gaps(viewer, 6)) < 0.06, "24 pictures a second"
        feed.slow(4)
        until(lambda: min(gaps(viewer, 2)) > 0.2, "fewer pictures")
        assert min(gaps(viewer, 3)) > 0.2
        assert feed.status()["lowered_fps"] == 4
        assert feed.state == LIVE, "fewer pictures are not a stalled source"
        assert feed.restarts == 0
        feed.slow(0)
        until(lambda: max(gaps(viewer, 3)) < 0.06, "all pictures")
        assert "lowered_fps" not in feed.status()


def test_a_source_that_opens_later_is_slow_from_the_start() -> None:
    feed = film()
    feed.slow(4)
    with running(feed), feed.subscribe(4) as viewer:
        assert viewer.get(WAIT) is not None
        assert min(gaps(viewer, 3)) > 0.2


class Clockwork:
    """A source that makes a picture whenever it is read, and counts."""

    on_demand: Literal[True] = True

    def __init__(self) -> None:
        self.reads = 0

    def open(self) -> dict[str, Any]:
        return {}

    def read(self) -> Delivery:
        self.reads += 1
        time.sleep(0.001)
        plane = np.zeros((8, 32), np.uint8)
        return Delivery([RawPicture("bgr0", 8, 8, [plane], Fraction(self.reads), time.monotonic())])

    def stream(self) -> StreamInfo | None:
        return None

    def close(self) -> None:
        pass


@contextmanager
def runner_of(source: Any) -> Iterator[tuple[socket.socket, wire.Receiver]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runner = CaptureLoop(theirs, source, SourceSpec("s", "x11"))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    try:
        yield ours, wire.Receiver(ours)
    finally:
        wire.send(ours, {"t": "stop"})
        ours.setblocking(False)
        while thread.is_alive():  # what it still has to say must fit into the socket
            try:
                ours.recv(65536)
            except BlockingIOError:
                thread.join(0.01)
        theirs.close()
        ours.close()


def test_a_display_is_not_even_asked_for_pictures_that_are_not_due() -> None:
    source = Clockwork()
    with runner_of(source) as (ours, receiver):
        wire.send(ours, {"t": "pace", "fps": 0.2})
        beats = 0
        while beats < 3:
            got = receiver.get(WAIT)
            assert got is not None
            message, fd, _ = got
            if fd is not None:
                os.close(fd)
            beats += message["t"] == "beat"
        before = source.reads
        for _ in range(3):  # each nap says that the source lives
            while (got := receiver.get(WAIT)) is not None and got[0]["t"] != "beat":
                pass
        assert source.reads == before


class Paced(Clockwork):
    on_demand = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def pace(self, fps: float) -> None:
        self.told.append(fps)


def test_a_camera_that_can_save_work_is_told_once_for_each_change() -> None:
    source = Paced()
    del Paced.on_demand
    with runner_of(source) as (ours, _):
        for fps in (5.0, 5.0, 0.0):
            wire.send(ours, {"t": "pace", "fps": fps})
        until(lambda: source.told == [5.0, 0.0], "it is told")


def test_motion_jpeg_is_not_decoded_when_it_is_not_due(tmp_path: Path) -> None:
    from noctule.capture.protocols.ffmpeg import open_input
    from noctule.capture.sources.v4l2 import V4l2Source

    path = video("motion.mjpeg", ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mjpeg"], count=60)
    source = V4l2Source(SourceSpec("cam", "v4l2", str(path)))
    source.connect = lambda: open_input(str(path), "cam", device=False)  # type: ignore[method-assign]
    super(V4l2Source, source).open()
    first = source.read()
    assert number_in(first.pictures[0].planes[0]) == 0
    source.pace(0.01)
    skipped = [source.read() for _ in range(10)]
    assert all(delivery.alive and not delivery.pictures for delivery in skipped)
    assert all(delivery.packet is not None for delivery in skipped), "clips keep every packet"
    source.pace(0)
    assert number_in(source.read().pictures[0].planes[0]) == 11
    source.close()


def test_video_for_clips_is_not_kept_for_a_while_and_the_source_closes() -> None:
    with running(film(preroll=5.0)) as feed:
        until(lambda: feed.status()["preroll_s"] > 0.5, "it keeps video")
        feed.ease(True)
        until(lambda: feed.state == CLOSED, "nobody looks, so it closes")
        assert feed.status()["preroll_s"] == 0
        feed.ease(False)
        until(lambda: feed.status()["preroll_s"] > 0.5, "it keeps video again")


def test_a_watched_source_is_left_alone_for_a_while() -> None:
    feed = film()
    stop = threading.Event()
    beats = threading.Semaphore(0)
    watch = Watch(feed, True, True, lambda *_: None, lambda frame: "")
    with running(feed):
        thread = threading.Thread(target=watch.run, args=(stop, beats.release))
        thread.start()
        until(lambda: feed.state == LIVE, "it is watched")
        watch.held = True
        until(lambda: feed.state == CLOSED, "its source closes")
        while beats.acquire(blocking=False):
            pass
        assert beats.acquire(timeout=WAIT), "a held watch beats"
        watch.held = False
        until(lambda: feed.state == LIVE, "it is watched again")
        stop.set()
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.mark.parametrize("preroll", ["preroll = 2\n", ""])
def test_the_governor_slows_and_eases_the_sources_of_a_running_service(world: World, preroll: str) -> None:
    fake = FakeBoard(world.folder / "board")
    world.board = fake.board

    world.senses = lambda host: [Plugged(CaptureComponent(host))]
    world.configure(
        "[lm]\nenabled = false\n[governor]\ninterval = 0.05\npatience = 0\nrecovery = 0.1\nfps = 3\n"
        f'[capture]\nfolder = "{world.folder}/pictures"\nlinger = 0.2\n'
        f'[sources.film]\nkind = "file"\naddress = "{plain_video()}"\nmotion = true\n{preroll}'
    )

    def source() -> dict[str, Any]:
        (found,) = world.client().get("/status")["eyes"]["sources"]
        return dict(found)

    def script() -> None:
        world.hear("READY=1")
        until(lambda: source()["state"] == LIVE, "it is watched")
        fake.temperature(95)
        until(lambda: source().get("lowered_fps") == 3, "fewer pictures")
        until(lambda: source()["state"] == CLOSED, "and then none, for nobody asks")
        steps = [step["step"] for step in world.client().get("/status")["governor"]["steps"]]
        assert steps == ["frames", "background"]
        fake.temperature(40)
        until(lambda: source()["state"] == LIVE, "it is watched again")
        until(lambda: "lowered_fps" not in source(), "at its own rate")

    world.run(script)


def test_there_is_nothing_to_give_where_nothing_runs(world: World) -> None:
    def senses(host: Host) -> list[Plugged]:
        sight = CaptureComponent(host)
        assert [step.take() for step in sight.steps()] == ["", ""]
        return [Plugged(sight)]

    world.senses = senses
    world.configure(
        f'[lm]\nenabled = false\n[capture]\nfolder = "{world.folder}/p"\n'
        f'[sources.film]\nkind = "file"\naddress = "{plain_video()}"\n'
    )
    world.run(lambda: assert_ready(world))


def assert_ready(world: World) -> None:
    assert world.hear("READY=1")
