"""The screen itself, read from the kernel's display driver (FFmpeg's kmsgrab): a console without a desktop."""

from __future__ import annotations

from typing import Any

import av.error

from noctule.capture.protocols.ffmpeg import open_input
from noctule.capture.sources.avsource import AvSource
from noctule.core.errors import DeviceError


class KmsSource(AvSource):
    """address: /dev/dri/card0. Where a desktop holds the screen this needs CAP_SYS_ADMIN. Frames arrive in the
    display driver's memory and are brought to ours."""

    clock = "monotonic"  # kmsgrab stamps frames with av_gettime_relative()

    def pace(self, fps: float) -> None:
        self._gap = 1 / fps if fps > 0 else 0.0

    def connect(self) -> Any:
        device = self.spec.address or "/dev/dri/card0"
        self.what = f"screen {device}"
        options = {"device": device, "framerate": f"{self.spec.fps or 30:g}", "format": "bgr0"}
        return open_input("-", self.what, device=True, format="kmsgrab", options=options)

    def _picture(self, frame: Any) -> Any:
        try:
            return super()._picture(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise DeviceError(
                f"{self.what} cannot be brought to memory: {error}",
                "its driver lends the picture only to the graphics processor; use a Wayland or X11 source",
            ) from None
