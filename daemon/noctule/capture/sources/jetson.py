"""A Jetson CSI camera, through NVIDIA's GStreamer elements. Runs under the system's Python, which alone has gi.

Not tried on a real Jetson yet: the tests put a stand-in for the gi module here.
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst  # noqa: E402 - the versions must be named first

from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo  # noqa: E402
from noctule.capture.spec import SourceSpec  # noqa: E402
from noctule.core.errors import DeviceError  # noqa: E402

_WAIT = 250_000_000  # ns


class JetsonSource:
    """address: the sensor's number. The appsink keeps one picture and drops older ones: no lag builds up."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.what = f"camera {spec.address or '0'}"
        self._pipeline: Any = None
        self._sink: Any = None
        self._held: tuple[Any, Any] | None = None
        self._first: int | None = None

    def _text(self) -> str:
        width, height, fps = self.spec.width or 1280, self.spec.height or 720, round(self.spec.fps or 30)
        return (
            f"nvarguscamerasrc sensor-id={int(self.spec.address or 0)} ! "
            f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! nvvidconv ! "
            "video/x-raw,format=NV12 ! appsink name=out max-buffers=1 drop=true sync=false"
        )

    def open(self) -> dict[str, Any]:
        Gst.init(None)
        try:
            self._pipeline = Gst.parse_launch(self._text())
        except Exception as error:  # noqa: BLE001 - GLib.Error is made at run time by gi
            raise DeviceError(f"{self.what} cannot be set up: {error}", "is JetPack's GStreamer installed?") from None
        self._sink = self._pipeline.get_by_name("out")
        if self._pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            raise DeviceError(f"{self.what} does not start{self._complaint()}", "systemctl restart nvargus-daemon")
        return {
            "width": self.spec.width or 1280,
            "height": self.spec.height or 720,
            "fps": float(round(self.spec.fps or 30)),
            "format": "nv12",
            "codec": "nvargus",
        }

    def read(self) -> Delivery:
        self._let_go()
        sample = self._sink.emit("try-pull-sample", _WAIT)
        if sample is None:
            complaint = self._complaint()
            if complaint:
                raise DeviceError(f"{self.what} failed{complaint}")
            return Delivery()
        shape = sample.get_caps().get_structure(0)
        width, height = int(shape.get_value("width")), int(shape.get_value("height"))
        buffer = sample.get_buffer()
        mapped, info = buffer.map(Gst.MapFlags.READ)
        if not mapped:
            raise DeviceError(f"{self.what} delivered a picture that cannot be read")
        self._held = (buffer, info)
        flat = np.frombuffer(info.data, np.uint8)
        stride = flat.size * 2 // (3 * height)
        if stride < width:
            raise DeviceError(f"{self.what} delivered a picture of {flat.size} bytes, too few for {width}x{height}")
        planes = [
            flat[: stride * height].reshape(height, stride)[:, :width],
            flat[stride * height : stride * height * 3 // 2].reshape(height // 2, stride)[:, :width],
        ]
        pts = int(buffer.pts)
        if self._first is None:
            self._first = pts
        matrix = "bt709" if height >= 720 else "bt601"
        return Delivery(
            [
                RawPicture(
                    "nv12",
                    width,
                    height,
                    planes,
                    Fraction(pts - self._first, 10**9),
                    time.monotonic(),
                    matrix,
                    False,
                    self.spec.rotate,
                )
            ]
        )

    def _complaint(self) -> str:
        """What the pipeline says went wrong, or ""."""
        message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.EOS)
        if message is None:
            return ""
        return f": {message.parse_error()[0]}" if message.type == Gst.MessageType.ERROR else ": its stream ended"

    def stream(self) -> StreamInfo | None:
        return None

    def _let_go(self) -> None:
        if self._held is not None:
            buffer, info = self._held
            buffer.unmap(info)
            self._held = None

    def close(self) -> None:
        self._let_go()
        if self._pipeline is not None:
            self._pipeline.set_state(Gst.State.NULL)
