"""A V4L2 camera, through FFmpeg: the format, size and rate are chosen from what the driver lists, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noctule.capture.protocols import v4l2 as v4l2info
from noctule.capture.protocols.ffmpeg import open_input
from noctule.capture.sources.avsource import AvSource
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError


class V4l2Source(AvSource):
    """address: /dev/video0. It may block for ever in the driver: only killing its process helps."""

    clock = "monotonic"

    def __init__(self, spec: SourceSpec) -> None:
        super().__init__(spec)
        self.what = f"camera {spec.address}"
        self._wanted: tuple[str, int, int, float] = ("", 0, 0, 0.0)

    def pace(self, fps: float) -> None:
        self._gap = 1 / fps if fps > 0 else 0.0

    def connect(self) -> Any:
        found = v4l2info.camera(Path(self.spec.address))
        if found is None:
            raise DeviceError(f"{self.spec.address} is not a camera", "`noctule sources` lists the cameras")
        name, width, height, best = v4l2info.choose(found, self.spec.width, self.spec.height, self.spec.format)
        rate = min(self.spec.fps or 30.0, best) if best else self.spec.fps or 30.0
        self._wanted = (name, width, height, rate)
        self.what = f"camera {found.card} ({self.spec.address})"
        options = {"input_format": name, "video_size": f"{width}x{height}", "framerate": f"{rate:g}"}
        return open_input(self.spec.address, self.what, device=True, format="v4l2", options=options)

    def open(self) -> dict[str, Any]:
        about = super().open()
        _, width, height, _ = self._wanted
        if (about["width"], about["height"]) != (width, height):
            raise DeviceError(
                f"{self.what} was asked for {width}x{height} and gives {about['width']}x{about['height']}",
                "name a size in the configuration that `noctule sources` lists",
            )
        return {**about, "camera_format": self._wanted[0]}
