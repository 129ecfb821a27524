"""What to capture: one `SourceSpec`, from the configuration or from an address such as `x11::0` or `cam.mp4`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError
from noctule.core.secrets import ENCODE_HINT, hide_address, misplaced

#: kind -> (what it is, an example address)
KINDS: dict[str, tuple[str, str]] = {
    "display": ("whichever display works: Wayland, X11 or the console", "display:"),
    "camera": ("whichever camera works: Raspberry Pi, Jetson or V4L2", "camera:"),
    "x11": ("an X11 display", "x11::0"),
    "wayland": ("a Wayland compositor's output", "wayland:wayland-0"),
    "kms": ("the screen itself, through the kernel (needs CAP_SYS_ADMIN beside a desktop)", "kms:/dev/dri/card0"),
    "v4l2": ("a USB or other V4L2 camera", "v4l2:/dev/video0"),
    "picamera2": ("a Raspberry Pi camera", "picamera2:0"),
    "jetson": ("a Jetson CSI camera", "jetson:0"),
    "network": ("an RTSP or HTTP stream", "rtsp://192.0.2.1/stream"),
    "file": ("a video file played as a camera", "file:/srv/test.mp4"),
}
#: kinds where the pixels come straight from a sensor, so that an unmarked matrix means bt601.
CAMERAS = frozenset({"v4l2", "picamera2", "jetson"})
_STREAMS = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "tcp://")

Mask = tuple[float, float, float, float]


@dataclass(frozen=True)
class SourceSpec:
    """One source.

    name: what people call it; kind: one of KINDS; address: device, display, path, URL; width, height: wanted size, 0
    for the source's own; fps: wanted rate, 0 for the source's own (displays: 30); format: wanted camera format
    (mjpeg, yuyv422, nv12, h264), empty for the best; rotate: extra clockwise degrees; masks: x, y, width, height as
    fractions of the upright picture, painted over before anything else sees it; cursor: draw the mouse pointer;
    preroll: seconds of video kept for clips; controls: camera controls by name. A stream's user and
    password stand in its URL and are never printed.
    """

    name: str
    kind: str
    address: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    format: str = ""
    rotate: int = 0
    masks: tuple[Mask, ...] = ()
    cursor: bool = False
    preroll: float = 0.0
    controls: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SourceSpec:
        masks = tuple((float(m[0]), float(m[1]), float(m[2]), float(m[3])) for m in data.pop("masks", ()))
        return cls(masks=masks, **data)

    @property
    def label(self) -> str:
        """The address as it may be shown: without user and password."""
        return hide_address(self.address)


def parse_address(text: str) -> SourceSpec | None:
    """The source that an address means, or None when it is none (then it may be a configured name)."""
    if text.startswith(_STREAMS):
        if character := misplaced(text):
            raise InputError(f'{hide_address(text)}: its user or password has a "{character}" as it is', ENCODE_HINT)
        return SourceSpec(hide_address(text), "network", text)
    if "://" in text:
        scheme = text.partition("://")[0]
        raise InputError(
            f'{hide_address(text)}: "{scheme[:20]}" is no kind of stream that is known',
            f"known: {', '.join(_STREAMS)}",
        )
    kind, colon, rest = text.partition(":")
    if colon and kind in KINDS:
        return SourceSpec(text, kind, rest)
    if text.startswith("/dev/video"):
        return SourceSpec(text, "v4l2", text)
    if "/" in text or Path(text).exists():
        return SourceSpec(text, "file", text)
    return None


def parse_masks(texts: list[str], name: str) -> tuple[Mask, ...]:
    """Masks from "x,y,width,height" texts, each a fraction of the picture."""
    masks = []
    for text in texts:
        try:
            x, y, w, h = (float(part) for part in text.split(","))
        except ValueError:
            x = y = w = h = -1.0
        if not (0 <= x < 1 and 0 <= y < 1 and 0 < w <= 1 and 0 < h <= 1):
            raise InputError(
                f'{name}: the mask "{text}" is not x,y,width,height in fractions of the picture',
                'for example "0,0,0.5,0.25" hides the left half of the top quarter',
            )
        masks.append((x, y, w, h))
    return tuple(masks)
