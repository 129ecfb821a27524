"""The inside of a capture process, run here in a thread: sources, masks, packets; and the watching of events."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capture_inside import Inside

from capture_world import file_feed, number_in, plain_video
from noctule.api.page.component import PageComponent
from noctule.capture.component import CaptureComponent
from noctule.capture.feed.watch import Watch
from noctule.capture.files.reader import VideoFile
from noctule.capture.picture.colour import rgb
from noctule.capture.picture.frame import make_frame
from noctule.capture.process import discover, wire
from noctule.capture.process.packets import ClipWriter
from noctule.capture.sources.base import Packet, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.config.schema import Config, SourceConfig
from noctule.core.clock import SystemClock
from noctule.core.errors import DeviceError, InputError
from noctule.core.events import Bus
from noctule.service.component import Host
from noctule.service.supervisor import Supervisor
from tools.bench import clock
from waiting import WAIT, until


@contextmanager
def inside(spec: SourceSpec) -> Iterator[Inside]:
    made = Inside(spec)
    try:
        yield made
    finally:
        made.close()


def clip_of(made: Inside, path: Path, count: int) -> list[int | None]:
    """The numbers in a clip of the next `count` packets."""
    wire.send(made.ours, {"t": "packets", "on": True})
    about, _ = made.hear("stream")
    stream = StreamInfo(
        about["codec"], about["width"], about["height"], Fraction(*about["time_base"]), about["rotation"]
    )
    writer = ClipWriter(path, stream)
    for _ in range(count):
        message, data = made.hear("packet")
        writer.add(Packet(data, message["pts"], message["dts"], message["duration"], message["key"]))
    writer.close()
    assert writer.seconds > 0
    with VideoFile(path) as file:
        return [number_in(p.frame().luma()) for p in file.pictures()]


def test_a_file_with_masks_and_packets(tmp_path: Path) -> None:
    spec = SourceSpec("s", "file", str(plain_video()), masks=((0.0, 0.6, 1.0, 0.4),))
    with inside(spec) as made:
        about, _ = made.hear("opened")
        assert about["about"]["width"] == 320
        frame = made.frame()
        assert "masked" in frame.flags
        assert (rgb(frame)[120:] == rgb(frame)[120, 0]).all()
        numbers = clip_of(made, tmp_path / "clip.mp4", 20)
        assert None not in numbers
        assert set(np.diff([n for n in numbers if n is not None]).tolist()) == {1}
        with VideoFile(tmp_path / "clip.mp4") as file:
            picture = rgb(next(file.pictures()).frame()).astype(int)
        assert np.abs(picture[130:] - 128).max() < 12, "the mask is in the clip too"
    assert made.failure is None


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_display_and_its_end(tmp_path: Path) -> None:
    from tools.bench.xserver import XServer

    with XServer() as server:
        clock.draw(server.pixels, 5)
        made = Inside(SourceSpec("s", "x11", server.address, rotate=180, fps=60))
        frame = made.frame()
        assert frame.rotation == 180
        assert clock.read(np.rot90(rgb(frame), 2)) == 5
        assert len(clip_of(made, tmp_path / "x.mp4", 30)) == 30
    made.thread.join(WAIT)
    assert isinstance(made.failure, DeviceError)
    made.ours.close()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_display_of_another_depth_is_refused() -> None:
    from noctule.capture.protocols.x11 import X11Display
    from noctule.capture.sources.x11 import X11Source

    source = X11Source(SourceSpec("s", "x11", ":0"))

    class Connection:
        what, display = "X11 display :0", X11Display(0, 10, 10, 16)

        def __init__(self, *arguments: object) -> None: ...

    import noctule.capture.sources.x11 as module

    original, module.X11Connection = module.X11Connection, Connection  # type: ignore[misc,assignment]
    try:
        with pytest.raises(DeviceError, match="has 16 bits a pixel"):
            source.open()
    finally:
        module.X11Connection = original  # type: ignore[misc]


def test_a_file_without_a_single_picture(tmp_path: Path) -> None:
    from noctule.capture.sources.file import FileSource

    cut = tmp_path / "cut.mkv"
    from capture_world import video

    whole = video("cut.mkv", ["-c:v", "libx264", "-pix_fmt", "yuv420p"])
    cut.write_bytes(whole.read_bytes()[:900])
    source = FileSource(SourceSpec("s", "file", str(cut)))

    def play() -> None:
        source.open()
        source.read()

    with pytest.raises((InputError, DeviceError)):
        play()
    source.close()


# --- watching


def grey(level: int, at: float, box: int | None = None, seq: int = 0) -> Any:
    picture = np.full((180, 320), level, np.uint8)
    if box is not None:
        picture[40:100, box : box + 40] = 230
    return make_frame("cam", seq, "gray", 320, 180, [picture], pts=Fraction(at).limit_denominator(1000), captured=at)


def watched(**wanted: bool) -> tuple[Watch, list[tuple[str, dict[str, Any]]], list[int]]:
    said: list[tuple[str, dict[str, Any]]] = []
    kept: list[int] = []

    def thumbnail(frame: Any) -> str:
        kept.append(frame.seq)
        return "/pictures/x.jpg"

    watch = Watch(
        file_feed(plain_video()),
        wanted.get("motion", False),
        wanted.get("scenes", False),
        lambda kind, message, level, fields: said.append((kind, fields)),
        thumbnail,
    )
    return watch, said, kept


def test_motion_is_said_once_when_it_begins_and_when_it_ends() -> None:
    watch, said, kept = watched(motion=True)
    for i in range(100):
        watch.look(grey(60, i / 10, box=3 * i if 30 <= i < 50 else None, seq=i))
    assert [kind for kind, _ in said] == ["motion.begin", "motion.end"]
    assert 30 <= said[0][1]["seq"] <= 33
    assert said[0][1]["thumbnail"] == "/pictures/x.jpg"
    assert "thumbnail" not in said[1][1]
    assert len(kept) == 1


def test_a_scene_change_is_said_and_a_gap_is_none() -> None:
    watch, said, _ = watched(scenes=True)
    for i in range(40):
        watch.look(grey(60 if i < 20 else 160, i / 10))
    assert [kind for kind, _ in said] == ["scene.changed"]
    watch.look(grey(20, 60.0))  # the camera was away, and came back to a dark room
    watch.look(grey(20, 60.1))
    assert [kind for kind, _ in said] == ["scene.changed"]


def test_motion_that_the_camera_could_not_see_the_end_of_is_ended() -> None:
    watch, said, _ = watched(motion=True)
    for i in range(40):
        watch.look(grey(60, i / 10, box=3 * i if i >= 30 else None))
    watch.look(grey(60, 100.0))
    assert [kind for kind, _ in said] == ["motion.begin", "motion.end"]


# --- as an organ of the service


def test_the_eyes_under_the_supervisor(tmp_path: Path) -> None:
    config = Config(sources={"cam": SourceConfig(kind="file", address=str(plain_video()), motion=True, scenes=True)})
    config.capture.folder, config.capture.min_free_mb, config.capture.thumbnails = tmp_path / "p", 0, True
    config.api.socket = tmp_path / "control.sock"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        config.capture.page_port = free.getsockname()[1]
    bus, seen = Bus(), []
    bus.add_sink(lambda event: seen.append(event.kind))
    host = Host(lambda: config, bus, SystemClock(), lambda ask: None, lambda text: text, dict)
    sight = CaptureComponent(host)
    supervisor = Supervisor(bus)
    page = PageComponent(host, sight.sources)
    for job in [*sight.jobs(), *page.jobs()]:
        supervisor.add(job)
    try:
        names = {part.name for part in supervisor.parts()}
        assert names == {"eyes:cam", "watch:cam", "door", "pictures", "page"}
        until(lambda: all(part.state == "working" for part in supervisor.parts()), "everything at work")
        until(lambda: "capture.live" in seen and "page.open" in seen)
        assert sight.status()["sources"][0]["name"] == "cam"
        assert (tmp_path / "page.url").exists()
        assert json.loads(json.dumps(sight.status()))
        until(lambda: "motion.begin" in seen, "the moving bar of the film")
        assert sight.snapshot("cam").exists()
        sight.apply(config)
    finally:
        assert supervisor.stop(WAIT) == {}
        sight.close()


# --- what there is


def test_a_display_means_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = discover.FoundSource("x11::7", "X11 display", "it hangs", "")
    good = discover.FoundSource("kms:/dev/dri/card0", "screen", "")
    monkeypatch.setitem(discover._GROUPS, "display", (lambda: iter([broken]), lambda: iter([good])))
    spec = discover.resolve(SourceSpec("d", "display"))
    assert (spec.kind, spec.address, spec.name) == ("kms", "/dev/dri/card0", "d")
    monkeypatch.setitem(discover._GROUPS, "display", (lambda: iter([broken]),))
    with pytest.raises(DeviceError, match="no display works: x11::7: it hangs"):
        discover.resolve(SourceSpec("d", "display"))
    monkeypatch.setenv("DISPLAY", ":5")
    assert discover.resolve(SourceSpec("d", "x11")).address == ":5"


def test_cameras_of_libcamera_are_asked_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 'FOUND 0 imx708 wide'\n")
    python.chmod(0o755)
    monkeypatch.setattr(discover, "SYSTEM_PYTHON", python)
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/dev/media0" or exists(self))
    (found,) = discover.picamera2()
    assert (found.address, found.about) == ("picamera2:0", "Raspberry Pi camera imx708 wide")
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'picamera2'\" >&2; exit 1\n")
    assert list(discover.picamera2()) == []
    monkeypatch.setattr(discover, "_text", lambda path: "Raspberry Pi 5 Model B")
    (found,) = discover.picamera2()
    assert found.hint == "sudo apt install python3-picamera2"


def test_cameras_of_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    from noctule.capture.protocols.v4l2 import Camera

    assert list(discover.jetson()) == []
    monkeypatch.setattr(discover, "_text", lambda path: "nvidia,p3768\0nvidia,tegra234")
    glob = Path.glob
    monkeypatch.setattr(
        Path,
        "glob",
        lambda self, pattern: iter([Path("/dev/video0")]) if str(self) == "/dev" else glob(self, pattern),
    )
    monkeypatch.setattr(discover.v4l2info, "camera", lambda path: Camera("/dev/video0", "imx219", "tegra-video", ""))
    (found,) = discover.jetson()
    assert (found.address, found.about) == ("jetson:0", "CSI camera imx219")
