"""A real RTSP server (GStreamer's) and an HTTP camera of JPEG pictures: watched, killed, frozen, back again."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

import rtsp_world
from capture_world import ffmpeg, number_in, numbered, running, video
from noctule.capture.feed.feed import LIVE, LOST, Feed
from noctule.capture.files.clip import record
from noctule.capture.files.reader import VideoFile
from noctule.capture.picture.colour import rgb
from noctule.capture.process.life import Patience
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError
from rtsp_world import RtspServer
from waiting import WAIT, until

PATIENCE = Patience(stall=2.0, open=15.0, linger=0.2, backoff=0.1, backoff_max=0.3, look=0.1)
#: generous: a loaded machine takes seconds to open a stream
LONG = 60.0
needs_rtsp = pytest.mark.skipif(bool(rtsp_world.missing()), reason=rtsp_world.missing())


def film() -> Path:
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-pix_fmt", "yuv420p"]
    # one slice a picture: this server puts parameter sets before every slice of a key frame, which tears it in two
    encoder += ["-x264-params", "sliced-threads=0"]
    return video("rtsp.mkv", encoder, count=2400)


@needs_rtsp
def test_an_rtsp_stream_and_the_end_of_its_server(tmp_path: Path) -> None:
    server = RtspServer(film())
    with server:
        feed = Feed(SourceSpec("door", "network", server.address, preroll=2.0), patience=PATIENCE)
        with running(feed), feed.subscribe(8) as viewer:
            frames = [frame for _ in range(12) if (frame := viewer.get(LONG)) is not None]
            numbers = [number_in(rgb(frame)) for frame in frames]
            assert len(numbers) == 12
            assert None not in numbers
            assert numbers == sorted(numbers, key=lambda n: n or 0)
            times = [f.pts for f in frames]
            assert times == sorted(set(times))
            assert times[-1] - times[0] < 60
            until(lambda: feed.status()["preroll_s"] > 1.0, "a second of packets")
            clip = record(feed, tmp_path / "clip.mp4", before=1.0, after=0.5, timeout=LONG)
            server.kill()
            until(lambda: feed.state == LOST, "the loss")
            until(lambda: "refused the connection" in feed.last_error, "the reason")
            with pytest.raises(DeviceError, match=r"door gives no picture: rtsp://\S+ refused"):
                feed.fresh(0.1, 1.0)
            with RtspServer(film(), server.port) as again:
                assert again.address == server.address
                until(lambda: feed.state == LIVE, "the return")
                assert number_in(rgb(feed.fresh(2.0, LONG))) is not None
        with VideoFile(clip.path) as file:
            kept = [number_in(p.frame().luma()) for p in file.pictures()]
        assert None not in kept
        assert set(np.diff([n for n in kept if n is not None]).tolist()) == {1}


@needs_rtsp
def test_a_frozen_rtsp_server_is_noticed() -> None:
    with RtspServer(film()) as server:
        feed = Feed(SourceSpec("door", "network", server.address), patience=PATIENCE)
        with running(feed), feed.subscribe() as viewer:
            assert viewer.get(LONG) is not None
            server.freeze()
            until(lambda: feed.state == LOST, "the loss")
            with pytest.raises(DeviceError, match="door gives no picture"):
                feed.latest(0.0)
            server.thaw()
            until(lambda: feed.state == LIVE, "the return")


@needs_rtsp
def test_what_an_rtsp_server_does_not_have() -> None:
    with RtspServer(film()) as server:
        feed = Feed(SourceSpec("door", "network", server.address + "-2"), patience=PATIENCE)
        with running(feed), pytest.raises(DeviceError, match="404"):
            feed.fresh(1.0, WAIT)


class JpegCamera:
    """An HTTP camera: multipart JPEG pictures, twenty a second, each with its number."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        for number in range(40):
            path = folder / f"{number}.jpg"
            if not path.exists():
                raw = folder / "raw"
                raw.write_bytes(numbered(number).tobytes())
                shape = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "320x180"]
                ffmpeg(path, *shape, "-i", str(raw), "-pix_fmt", "yuvj420p", "-q:v", "3")
        pictures = [(folder / f"{number}.jpg").read_bytes() for number in range(40)]
        self.stop = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                number = 0
                while not outer.stop.wait(0.05):
                    body = pictures[number % len(pictures)]
                    number += 1
                    head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    try:
                        self.wfile.write(head + body + b"\r\n")
                    except OSError:
                        return

            def log_message(self, *arguments: object) -> None: ...

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


def test_an_http_camera_that_sends_jpeg_pictures(tmp_path: Path) -> None:
    camera = JpegCamera(tmp_path)
    feed = Feed(SourceSpec("yard", "network", f"http://127.0.0.1:{camera.port}/video"), patience=PATIENCE)
    with running(feed), feed.subscribe(8) as viewer:
        frames = [frame for _ in range(10) if (frame := viewer.get(LONG)) is not None]
        numbers = [number_in(frame.luma()) for frame in frames]
        assert len(numbers) == 10
        assert None not in numbers
        assert frames[0].full_range
        camera.close()
        until(lambda: feed.state == LOST and "refused the connection" in feed.last_error, "the end of the camera")
        again = JpegCamera(tmp_path, camera.port)
        try:
            until(lambda: feed.state == LIVE, "the return")
            assert number_in(feed.fresh(2.0, LONG).luma()) is not None
        finally:
            again.close()
