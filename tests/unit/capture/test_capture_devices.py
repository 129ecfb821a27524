"""Cameras that this machine does not have: their libraries and drivers are played by stand-ins at the boundary.

Nothing here shows that a real camera works; it shows what we ask of one, and what we make of its answers.
"""

from __future__ import annotations

import errno
import fcntl
import http.server
import importlib
import os
import struct
import sys
import threading
import time
import types
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from capture_world import QUICK, ffmpeg, number_in, plain_video, running, video
from noctule.capture.feed.feed import LIVE, LOST, Feed
from noctule.capture.picture.colour import rgb
from noctule.capture.picture.frame import make_frame
from noctule.capture.picture.look import look_from, look_of
from noctule.capture.process import discover
from noctule.capture.process.launch import interpreter_for
from noctule.capture.process.life import Patience
from noctule.capture.process.presence import absence
from noctule.capture.protocols import v4l2 as v4l2info
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError
from waiting import WAIT, until

# --- V4L2


class Driver:
    """Answers the ioctls as a USB camera's driver does: MJPEG at two sizes, YUYV at one."""

    capabilities = 0x85200001
    device_capabilities = 0x04200001
    modes: ClassVar = [(b"MJPG", [(1280, 720, 30), (1920, 1080, 30)]), (b"YUYV", [(1280, 720, 10), (640, 480, 30)])]

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        out = bytearray(argument)
        number = request & 0xFF
        if number == 0:
            struct.pack_into(
                "<16s32s32sIII",
                out,
                0,
                b"uvcvideo",
                b"Fake Cam",
                b"usb-1",
                0x60000,
                self.capabilities,
                self.device_capabilities,
            )
            return bytes(out)
        index, second = struct.unpack_from("<I4s", out)
        if number == 2 and index < len(self.modes):
            out[44:48] = self.modes[index][0]
            return bytes(out)
        sizes = next((sizes for fourcc, sizes in self.modes if fourcc == second), [])
        if number == 74 and index < len(sizes):
            struct.pack_into("<III", out, 8, 1, *sizes[index][:2])
            return bytes(out)
        if number == 75 and index == 0:
            width, height = struct.unpack_from("<II", out, 8)
            rate = next(r for w, h, r in sizes if (w, h) == (width, height))
            struct.pack_into("<III", out, 16, 1, 1, rate)
            return bytes(out)
        raise OSError(errno.EINVAL, "Invalid argument")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    return made


def test_what_a_camera_offers(driver: Driver) -> None:
    found = v4l2info.camera(Path("/dev/null"))
    assert found is not None
    assert (found.card, found.driver) == ("Fake Cam", "uvcvideo")
    assert found.modes[0] == v4l2info.Mode("mjpeg", "MJPG", ((1280, 720, 30.0), (1920, 1080, 30.0)))
    driver.device_capabilities = 0x04000002  # a video output
    assert v4l2info.camera(Path("/dev/null")) is None
    driver.device_capabilities = 0x04008001  # a codec
    assert v4l2info.camera(Path("/dev/null")) is None


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ((0, 0, ""), ("mjpeg", 1280, 720, 30.0)),  # YUYV has this size too, but only ten a second
        ((640, 480, ""), ("yuyv422", 640, 480, 30.0)),
        ((1280, 720, "yuyv422"), ("yuyv422", 1280, 720, 10.0)),
        ((3840, 2160, ""), ("mjpeg", 1920, 1080, 30.0)),
    ],
)
def test_the_mode_is_chosen(
    driver: Driver, wanted: tuple[int, int, str], chosen: tuple[str, int, int, float]
) -> None:
    found = v4l2info.camera(Path("/dev/null"))
    assert found is not None
    assert v4l2info.choose(found, *wanted) == chosen
    with pytest.raises(DeviceError, match="does not deliver h264, only mjpeg, yuyv422"):
        v4l2info.choose(found, 0, 0, "h264")


def test_ranges_of_sizes(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that scales in steps says its smallest and largest size, and intervals as a range."""

    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        out = bytearray(argument)
        number, (index,) = request & 0xFF, struct.unpack_from("<I", argument)
        if number == 0:
            return driver.ioctl(fd, request, argument)
        if index:
            raise OSError(errno.EINVAL, "Invalid argument")
        if number == 2:
            out[44:48] = b"NV12"
        elif number == 74:
            struct.pack_into("<I6I", out, 8, 3, 32, 1920, 2, 32, 1080, 2)
        else:
            struct.pack_into("<III", out, 16, 3, 1, 60)
        return bytes(out)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    found = v4l2info.camera(Path("/dev/null"))
    assert found is not None
    assert found.modes == (v4l2info.Mode("nv12", "NV12", ((1920, 1080, 60.0),)),)


def test_devices_that_are_none() -> None:
    assert v4l2info.camera(Path("/dev/null")) is None
    with pytest.raises(DeviceError, match="cannot be opened: No such file"):
        v4l2info.camera(Path("/dev/video99"))


def test_a_camera_that_is_busy_or_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for code, says in ((errno.EBUSY, "is in use by another program"), (errno.EACCES, "may not be used by this user")):

        def refuse(*arguments: object, code: int = code) -> int:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(DeviceError, match=says):
                v4l2info.camera(Path("/dev/video0"))


def test_the_source_asks_for_what_was_chosen_and_checks_what_it_got(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noctule.capture.sources import v4l2

    asked: list[dict[str, str]] = []
    film = plain_video()

    def open_input(url: str, what: str, **about: Any) -> Any:
        import av

        asked.append(about["options"])
        return av.open(str(film))

    monkeypatch.setattr(v4l2, "open_input", open_input)
    source = v4l2.V4l2Source(SourceSpec("cam", "v4l2", "/dev/null", fps=15))
    with pytest.raises(DeviceError, match=r"camera Fake Cam \(/dev/null\) was asked for 1280x720 and gives 320x180"):
        source.open()
    assert asked == [{"input_format": "mjpeg", "video_size": "1280x720", "framerate": "15"}]
    source.close()
    driver.modes = [(b"H264", [(320, 180, 30)])]
    source = v4l2.V4l2Source(SourceSpec("cam", "v4l2", "/dev/null"))
    about = source.open()
    assert about["camera_format"] == "h264"
    while not (delivery := source.read()).pictures:
        pass
    assert number_in(delivery.pictures[0].planes[0]) == 0
    stream = source.stream()
    assert stream is not None
    assert stream.codec == "h264"
    source.close()
    driver.device_capabilities = 0x04000002
    with pytest.raises(DeviceError, match="/dev/null is not a camera"):
        v4l2.V4l2Source(SourceSpec("cam", "v4l2", "/dev/null")).open()


@pytest.mark.parametrize(
    ("kind", "address", "says"),
    [
        ("v4l2", "/dev/video98", "there is no /dev/video98"),
        ("v4l2", "/dev", "/dev is a folder, not a device"),
        ("kms", "/etc/passwd", "/etc/passwd is a file, not a device"),
        ("file", "/nonexistent.mp4", "there is no file /nonexistent.mp4"),
        ("x11", ":62000", "X11 display :62000 is not running"),
    ],
)
def test_what_is_absent(kind: str, address: str, says: str) -> None:
    error = absence(SourceSpec("s", kind, address))
    assert error is not None
    assert says in str(error)
    assert absence(SourceSpec("s", "network", "rtsp://nowhere.invalid/")) is None


def test_devices_are_listed_with_their_problems(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    glob = Path.glob

    def pretend(self: Path, pattern: str) -> Iterator[Path]:
        return iter([Path("/dev/null")]) if (str(self), pattern) == ("/dev", "video*") else glob(self, pattern)

    monkeypatch.setattr(Path, "glob", pretend)
    (found,) = discover.v4l2()
    assert found.about == "camera Fake Cam: mjpeg up to 1920x1080 at 30/s; yuyv422 up to 1280x720 at 10/s"
    assert found.problem == ""
    assert discover.resolve(SourceSpec("c", "camera")).address == "/dev/null"
    driver.device_capabilities = 0x04000002
    assert list(discover.v4l2()) == []
    with pytest.raises(DeviceError, match="this machine has no camera"):
        discover.resolve(SourceSpec("c", "camera"))


def test_screens_are_listed_with_their_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    glob = Path.glob

    def pretend(self: Path, pattern: str) -> Iterator[Path]:
        if str(self) == "/dev/dri":
            return iter([Path("/dev/dri/card0")])
        if str(self) == "/sys/class/drm":
            return iter([Path("/sys/class/drm/card0-HDMI-A-1")])
        return glob(self, pattern)

    status = {"connected": "connected"}
    monkeypatch.setattr(Path, "glob", pretend)
    monkeypatch.setattr(discover, "_text", lambda path: status["connected"] if path.name == "status" else "")
    (found,) = discover.kms()
    assert "may not be used by this user" in found.problem
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    (found,) = discover.kms()
    assert (found.about, found.address) == ("screen HDMI-A-1", "kms:/dev/dri/card0")
    assert "needs CAP_SYS_ADMIN" in found.problem
    monkeypatch.setattr(discover, "_free", lambda card: card == Path("/dev/dri/card0"))
    assert next(discover.kms()).problem == "", "nobody holds the screen of a console"
    monkeypatch.setattr(discover, "_free", lambda card: False)
    monkeypatch.setattr(discover, "_has_capability", lambda number: True)
    assert next(discover.kms()).problem == ""
    status["connected"] = "disconnected"
    assert "no screen is connected" in next(discover.kms()).problem


# --- Raspberry Pi


class FakeRequest:
    def __init__(self, camera: FakePicamera2) -> None:
        self.camera, self.released = camera, False
        camera.requests.append(self)

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 5_000_000}

    def make_buffer(self, name: str) -> np.ndarray[Any, Any]:
        return self.camera.buffer if name == "main" else self.camera.small

    def release(self) -> None:
        self.released = True


class FakePicamera2:
    """As picamera2's class of that name, as far as it is used."""

    camera_controls: ClassVar = {"ExposureTime": (1, 2, 3)}
    camera_properties: ClassVar = {"Model": "imx708"}
    cameras = 1
    stride = 64

    def __init__(self, number: int) -> None:
        if number >= self.cameras:
            raise IndexError("list index out of range")
        self.requests: list[FakeRequest] = []
        self.state: list[str] = []
        self.buffer = np.arange(self.stride * 32 * 3 // 2, dtype=np.uint32).astype(np.uint8)

    def create_video_configuration(self, **about: Any) -> dict[str, Any]:
        self.asked = about
        return about

    def configure(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def camera_configuration(self) -> dict[str, Any]:
        size = self.settings["main"]["size"]
        made = {"main": {"size": size, "stride": self.stride}, "colour_space": "SMPTE170M/Rec709/None/Limited"}
        lores = self.settings["lores"]
        return made if lores is None else {**made, "lores": {"size": lores["size"], "stride": 384}}

    def start(self) -> None:
        self.state.append("started")

    def stop(self) -> None:
        self.state.append("stopped")

    def close(self) -> None:
        self.state.append("closed")

    def capture_request(self) -> FakeRequest:
        return FakeRequest(self)


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    name = "noctule.capture.sources.picamera2"
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=FakePicamera2))
    sys.modules.pop(name, None)
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


def test_a_raspberry_pi_camera(pi: Any) -> None:
    source = pi.Picamera2Source(SourceSpec("cam", "picamera2", "0", 48, 32, fps=24, controls={"ExposureTime": 9}))
    about = source.open()
    assert (about["width"], about["height"], about["camera"]) == (48, 32, "imx708")
    camera = source._camera
    assert camera.asked["controls"] == {"ExposureTime": 9, "FrameRate": 24}
    first, second = source.read().pictures[0], source.read().pictures[0]
    y, u, v = first.planes
    assert (y.shape, u.shape, v.shape) == ((32, 48), (16, 24), (16, 24))
    assert y[1, 0] == camera.buffer[64]  # rows are 64 bytes apart, though 48 wide
    assert u[0, 0] == camera.buffer[64 * 32]
    assert v[0, 0] == camera.buffer[64 * 32 + 32 * 16]
    assert (first.matrix, first.full_range, first.pts) == ("bt601", False, Fraction(0))
    assert second.pts > 0
    assert 0.004 < time.monotonic() - second.captured < WAIT
    assert [request.released for request in camera.requests] == [True, False]
    assert source.stream() is None
    source.close()
    assert all(request.released for request in camera.requests)
    assert camera.state == ["started", "stopped", "closed"]


def test_the_small_stream_is_what_motion_is_looked_for_in(pi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its brightness reaches the viewer's frame, masked; the picture itself stays the main stream's."""
    from capture_inside import Inside

    from noctule.capture.picture.masks import stored_rectangle

    monkeypatch.setattr(FakePicamera2, "stride", 640)
    small = np.full((180 * 3 // 2, 384), 200, np.uint8)
    small[:180, :320] = np.arange(320)[None, :] // 5  # 64 steps
    small[:, 320:] = 255  # padding
    monkeypatch.setattr(FakePicamera2, "small", small, raising=False)
    monkeypatch.setattr(FakePicamera2, "__init__", _large)
    masks = ((0.0, 0.0, 0.5, 0.5),)
    made = Inside(SourceSpec("cam", "picamera2", "0", 640, 360, masks=masks))
    try:
        made.hear("opened")
        assert made_cameras.pop().asked["lores"] == {"size": (320, 180), "format": "YUV420"}
        message, _ = made.hear("frame")
    finally:
        made.close()
    look = look_from(message["look"])
    assert look is not None
    assert stored_rectangle(masks[0], 64, 36, 0) == (0, 0, 32, 18)
    assert (look[:18, :32] == 128).all()
    assert (look[18:] == np.arange(64)).all()
    assert (look[:, 32:] == np.arange(32, 64)).all()


made_cameras: list[Any] = []


def _large(self: Any, number: int) -> None:
    made_cameras.append(self)
    self.requests, self.state = [], []
    self.buffer = np.full(640 * 360 * 3 // 2, 90, np.uint8)


def test_looks_that_are_none() -> None:
    assert look_from(None) is None
    assert look_from("!") is None
    assert look_from("AAAA") is None
    tiny = look_from(look_of(np.full((20, 30), 7, np.uint8), 0))
    assert tiny is not None
    assert (tiny == 7).all()
    planes = [np.zeros((36, 64), np.uint8)]
    frame = make_frame("c", 0, "gray", 64, 36, planes, pts=Fraction(0), captured=0.0, look=tiny)
    assert (frame.small_luma() == 7).all()
    assert (frame.small_luma(32, 18) == 0).all()


def test_a_raspberry_pi_camera_that_is_not_right(pi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="there is no camera 3"):
        pi.Picamera2Source(SourceSpec("cam", "picamera2", "3")).open()
    with pytest.raises(DeviceError, match="camera 0 has no control Warp"):
        pi.Picamera2Source(SourceSpec("cam", "picamera2", "0", controls={"Warp": 9})).open()

    def busy(self: FakePicamera2) -> None:
        raise RuntimeError("Failed to acquire camera: Device or resource busy")

    with monkeypatch.context() as patch:
        patch.setattr(FakePicamera2, "start", busy)
        with pytest.raises(DeviceError, match="does not start: Failed to acquire") as refused:
            pi.Picamera2Source(SourceSpec("cam", "picamera2")).open()
        assert refused.value.hint == "is another program using it?"
    source = pi.Picamera2Source(SourceSpec("cam", "picamera2", "0", 640, 480))
    source.open()
    with pytest.raises(DeviceError, match="too few for 640x480"):
        source.read()


def test_cameras_of_the_system_python() -> None:
    assert interpreter_for(SourceSpec("c", "v4l2")) == sys.executable
    if Path("/usr/bin/python3").exists():
        assert interpreter_for(SourceSpec("c", "picamera2")) == "/usr/bin/python3"


# --- Jetson


class FakeGst:
    """As much of GStreamer as is used. samples: byte strings, None (nothing yet), or an error's text."""

    State = types.SimpleNamespace(PLAYING=1, NULL=2)
    StateChangeReturn = types.SimpleNamespace(FAILURE=0)
    MessageType = types.SimpleNamespace(ERROR=1, EOS=2)
    MapFlags = types.SimpleNamespace(READ=1)

    def __init__(self) -> None:
        self.samples: list[Any] = []
        self.text = ""
        self.failing = False
        self.states: list[int] = []
        self.unmapped = 0
        self.pts = 1_000_000

    def init(self, arguments: object) -> None: ...

    def parse_launch(self, text: str) -> FakeGst:
        if self.failing:
            raise RuntimeError('no element "nvarguscamerasrc"')
        self.text = text
        return self

    def get_by_name(self, name: str) -> FakeGst:
        return self

    def set_state(self, state: int) -> int:
        self.states.append(state)
        return 1

    def emit(self, name: str, wait: int) -> Any:
        assert name == "try-pull-sample"
        self.now = self.samples.pop(0)
        return self if isinstance(self.now, bytes) else None

    def get_caps(self) -> FakeGst:
        return self

    def get_structure(self, index: int) -> FakeGst:
        return self

    def get_value(self, name: str) -> int:
        return {"width": 6, "height": 4}[name]

    def get_buffer(self) -> FakeGst:
        self.pts += 33_000_000
        return self

    def map(self, flags: int) -> tuple[bool, Any]:
        return True, types.SimpleNamespace(data=self.now)

    def unmap(self, info: object) -> None:
        self.unmapped += 1

    def get_bus(self) -> FakeGst:
        return self

    def pop_filtered(self, kinds: int) -> Any:
        if not isinstance(self.now, str):
            return None
        return types.SimpleNamespace(type=1, parse_error=lambda: (self.now, ""))


@pytest.fixture
def gst(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGst]:
    made = FakeGst()
    gi = types.ModuleType("gi")
    gi.require_version = lambda name, version: None  # type: ignore[attr-defined]
    repository = types.ModuleType("gi.repository")
    repository.Gst = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gi", gi)
    monkeypatch.setitem(sys.modules, "gi.repository", repository)
    sys.modules.pop("noctule.capture.sources.jetson", None)
    yield made
    sys.modules.pop("noctule.capture.sources.jetson", None)


def test_a_jetson_camera(gst: FakeGst) -> None:
    from noctule.capture.sources.jetson import JetsonSource

    source = JetsonSource(SourceSpec("cam", "jetson", "1", 6, 4, fps=60))
    source.open()
    assert "sensor-id=1 ! video/x-raw(memory:NVMM),width=6,height=4,framerate=60/1" in gst.text
    assert "max-buffers=1 drop=true sync=false" in gst.text
    gst.samples = [bytes(range(8 * 4 * 3 // 2)), None, bytes(48), b"xx", "the sensor is gone"]
    (picture,) = source.read().pictures
    assert picture.planes[0].shape == (4, 6)
    assert picture.planes[0][1, 0] == 8  # rows are 8 bytes apart
    assert picture.planes[1][0, 0] == 32
    assert not source.read().pictures  # nothing came: nothing is made up
    assert source.read().pictures[0].pts == Fraction(33, 1000)
    with pytest.raises(DeviceError, match="too few for 6x4"):
        source.read()
    with pytest.raises(DeviceError, match="camera 1 failed: the sensor is gone"):
        source.read()
    source.close()
    assert gst.states == [1, 2]
    assert gst.unmapped == 3
    gst.failing = True
    with pytest.raises(DeviceError, match="cannot be set up: no element"):
        JetsonSource(SourceSpec("cam", "jetson")).open()


# --- streams


NETWORK = Patience(stall=1.5, open=6.0, linger=0.2, backoff=0.1, backoff_max=0.3, look=0.1)


class Streamer:
    """An HTTP server that gives a transport stream at its own pace, and can fall silent or hang up."""

    def __init__(self, path: Path, port: int = 0) -> None:
        data = path.read_bytes()
        step = max(188, len(data) // 100 // 188 * 188)
        self.silent, self.stop = threading.Event(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(404 if self.path == "/nothing" else 200)
                self.end_headers()
                for at in range(0, 0 if self.path == "/nothing" else len(data), step):
                    try:
                        self.wfile.write(data[at : at + step])
                    except OSError:
                        return
                    while outer.silent.is_set() and not outer.stop.wait(0.05):
                        pass
                    if outer.stop.wait(0.04):
                        return

            def log_message(self, *arguments: object) -> None: ...

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT)


def stream_file() -> Path:
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-pix_fmt", "yuv420p"]
    return video("stream.ts", encoder)


def test_a_stream_that_falls_silent_or_goes_away_is_noticed_and_comes_back(tmp_path: Path) -> None:
    server = Streamer(stream_file())
    feed = Feed(SourceSpec("far", "network", f"http://127.0.0.1:{server.port}/live"), patience=NETWORK)
    with running(feed), feed.subscribe() as viewer:
        frame = viewer.get(WAIT)
        assert frame is not None
        assert number_in(rgb(frame)) is not None
        server.silent.set()
        until(lambda: feed.state == LOST, "the silence")
        assert feed.error is not None
        server.silent.clear()
        until(lambda: feed.state == LIVE, "the return")
        server.close()
        until(lambda: feed.state == LOST and "refused the connection" in feed.last_error, "the end of the server")
        with pytest.raises(DeviceError, match="refused the connection"):
            feed.fresh(0.1, WAIT)
        again = Streamer(stream_file(), server.port)
        try:
            until(lambda: feed.state == LIVE, "the return of the server")
        finally:
            again.close()


def test_pictures_without_a_time_do_not_tear_the_time_line() -> None:
    """RTSP's first pictures come without one; what follows counts the stream's own clock, from wherever it stands."""
    from noctule.capture.sources.network import NetworkSource

    source = NetworkSource(SourceSpec("s", "network", "rtsp://192.0.2.1/x"))
    given = [
        source._on_time_line(raw, now)
        for raw, now in (
            (None, 500.0),
            (None, 500.04),
            (Fraction(90_000), 500.08),
            (Fraction(90_001), 501.0),
            (None, 501.5),
            (Fraction(90_002), 502.0),
        )
    ]
    assert [round(float(pts), 6) for pts in given] == [0.0, 0.04, 0.08, 1.08, 1.58, 2.08]


def test_streams_that_are_none() -> None:
    server = Streamer(stream_file())
    try:
        feed = Feed(
            SourceSpec("far", "network", f"http://joe:secret@127.0.0.1:{server.port}/nothing"), patience=NETWORK
        )
        with running(feed), pytest.raises(DeviceError) as refused:
            feed.fresh(1.0, WAIT)
        assert "404" in str(refused.value)
        assert "secret" not in str(refused.value)
    finally:
        server.close()


def test_packets_of_a_stream_are_kept_as_they_are(tmp_path: Path) -> None:
    """A clip of an H.264 stream holds the stream's own packets, decodable, without a picture missing."""
    from noctule.capture.files.clip import record
    from noctule.capture.files.reader import VideoFile

    server = Streamer(stream_file())
    try:
        spec = SourceSpec("far", "network", f"http://127.0.0.1:{server.port}/", preroll=2.0)
        feed = Feed(spec, patience=NETWORK)
        with running(feed):
            until(lambda: feed.status()["preroll_s"] > 1.0, "a second of packets")
            clip = record(feed, tmp_path / "clip.mp4", before=1.0, after=0.5, timeout=WAIT)
        assert clip.before >= 0.9
        with VideoFile(clip.path) as file:
            numbers = [number_in(p.frame().luma()) for p in file.pictures()]
        assert None not in numbers
        assert set(np.diff([n for n in numbers if n is not None]).tolist()) == {1}
    finally:
        server.close()


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4"])
def test_streams_with_length_prefixed_packets_make_clips_too(name: str, tmp_path: Path) -> None:
    """MP4 and FLV carry H.264 without start codes and the parameter sets beside it."""
    from test_capture_extract import ENCODERS

    from noctule.capture.files.reader import VideoFile
    from noctule.capture.process.packets import ClipWriter
    from noctule.capture.sources.network import NetworkSource

    source = NetworkSource(SourceSpec("s", "network", str(video(name, ENCODERS[name]))))
    source.open()
    stream = source.stream()
    assert stream is not None
    writer = ClipWriter(tmp_path / "clip.mp4", stream)
    try:
        for _ in range(60):
            packet = source.read().packet
            assert packet is not None
            writer.add(packet)
    finally:
        source.close()
    writer.close()
    with VideoFile(tmp_path / "clip.mp4") as file:
        numbers = [number_in(p.frame().luma()) for p in file.pictures()]
    assert numbers[:40] == list(range(40))


def test_mjpeg_packets_make_clips(tmp_path: Path) -> None:
    from noctule.capture.files.reader import VideoFile
    from noctule.capture.process.packets import ClipWriter
    from noctule.capture.sources.network import NetworkSource

    path = ffmpeg(tmp_path / "m.avi", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=10:d=1", "-c:v", "mjpeg")
    source = NetworkSource(SourceSpec("s", "network", str(path), rotate=90))
    source.open()
    stream = source.stream()
    assert stream is not None
    writer = ClipWriter(tmp_path / "clip.mp4", stream)
    assert writer.seconds == 0.0
    for _ in range(8):
        packet = source.read().packet
        assert packet is not None
        writer.add(packet)
        writer.add(packet)  # a stutter is left out
    source.close()
    writer.close()
    assert writer.packets == 8
    with VideoFile(tmp_path / "clip.mp4") as file:
        frames = [p.frame() for p in file.pictures()]
    assert len(frames) == 8
    assert frames[0].upright_size == (120, 160)


def test_the_console_is_asked_for_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    from noctule.capture.sources import kms

    asked: list[tuple[str, dict[str, Any]]] = []

    def open_input(url: str, what: str, **about: Any) -> Any:
        import av

        asked.append((url, about))
        return av.open(str(plain_video()))

    monkeypatch.setattr(kms, "open_input", open_input)
    source = kms.KmsSource(SourceSpec("console", "kms", "/dev/dri/card1", fps=10))
    source.open()
    assert asked[0][0] == "-"
    assert asked[0][1]["format"] == "kmsgrab"
    assert asked[0][1]["options"]["device"] == "/dev/dri/card1"
    assert source.read() is not None

    def refuse(self: object, frame: object) -> None:
        raise ValueError("mapping failed")

    monkeypatch.setattr("noctule.capture.sources.avsource.AvSource._picture", refuse)
    with pytest.raises(DeviceError, match="cannot be brought to memory: mapping failed"):
        source._picture(None)
    source.close()


@pytest.mark.timing  # a feed of half a second's patience
def test_a_console_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(SourceSpec("console", "kms", "/dev/null"), patience=QUICK)
    with running(feed), pytest.raises(DeviceError, match="console gives no picture: screen /dev/null"):
        feed.fresh(1.0, WAIT)
