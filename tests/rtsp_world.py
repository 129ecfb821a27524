"""A real RTSP server: GStreamer's, in a process of its own under the system's Python. Run as a program it is that
server: `rtsp_world.py FILE.mkv PORT`; it prints its port and serves the H.264 film to each client anew."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

_PYTHON = Path("/usr/bin/python3")
_NEEDS = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [n for n in ("matroskademux", "rtph264pay") if Gst.ElementFactory.find(n) is None]
raise SystemExit(f"no {missing[0]}" if missing else 0)
"""


def missing() -> str:
    """Why no such server can run here, or ""."""
    if not _PYTHON.exists():
        return "no system Python"
    done = subprocess.run([str(_PYTHON), "-c", _NEEDS], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "no gir1.2-gst-rtsp-server-1.0, python3-gi or gstreamer1.0-plugins-good"


class RtspServer:
    """Serves `film` (H.264 in Matroska) as rtsp://127.0.0.1:port/film. port: 0 for a free one."""

    def __init__(self, film: Path, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [str(_PYTHON), __file__, str(film), str(port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.isdigit(), f"the RTSP server did not start: {line}"
        self.port = int(line)
        self.address = f"rtsp://127.0.0.1:{self.port}/film"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill()


def serve(film: str, port: str) -> None:
    """Never returns."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( filesrc location={film} ! matroskademux ! rtph264pay name=pay0 pt=96 config-interval=-1 )")
    server.get_mount_points().add_factory("/film", factory)
    if not server.attach(None):
        raise SystemExit("the port is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
