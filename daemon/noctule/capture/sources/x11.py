"""An X11 display, through FFmpeg's x11grab and the MIT-SHM extension."""

from __future__ import annotations

from typing import Any

from noctule.capture.avopen import open_input
from noctule.capture.sources.avsource import AvSource
from noctule.capture.spec import SourceSpec
from noctule.capture.x11probe import probe


class X11Source(AvSource):
    """address: ":0"; empty for $DISPLAY. Probed first: x11grab itself hangs for ever on servers it cannot use."""

    clock = "wall"  # x11grab stamps frames with av_gettime()

    def __init__(self, spec: SourceSpec) -> None:
        super().__init__(spec)
        self.what = f"X11 display {spec.address}"

    def connect(self) -> Any:
        about = probe(self.spec.address)
        width = min(self.spec.width or about.width, about.width)
        height = min(self.spec.height or about.height, about.height)
        options = {
            "framerate": f"{self.spec.fps or 30:g}",
            "video_size": f"{width}x{height}",
            "draw_mouse": "1" if self.spec.cursor else "0",
        }
        return open_input(self.spec.address, self.what, device=True, format="x11grab", options=options)
