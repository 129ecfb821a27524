"""A Raspberry Pi camera, through picamera2 (libcamera). Runs under the system's Python, which alone has libcamera.

YUV 4:2:0 is asked of the image processor: half the memory traffic of RGB. A second, small stream (lores) carries the
brightness of the whole picture for motion and scene detection. Not tried on a real camera yet: the tests put a
stand-in for the picamera2 module here.
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
from picamera2 import Picamera2

from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError

#: libcamera's colour spaces -> (matrix, full range)
_COLOURS = {
    "Rec709": ("bt709", False),
    "SMPTE170M": ("bt601", False),
    "sYCC": ("bt601", True),
    "Jpeg": ("bt601", True),
}


#: width of the second, small stream.
_SMALL = 320


class Picamera2Source:
    """address: the camera's number. controls: libcamera's, by name ("ExposureTime")."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.what = f"camera {spec.address or '0'}"
        self._camera: Any = None
        self._size = (spec.width & ~1 or 1280, spec.height & ~1 or 720)
        self._stride = 0
        self._small: tuple[int, int, int] | None = None  # width, height, stride of the second stream
        self._colour = ("bt601", False)
        self._request: Any = None
        self._first: int | None = None

    def open(self) -> dict[str, Any]:
        rate = self.spec.fps or 30.0
        try:
            self._camera = Picamera2(int(self.spec.address or 0))
            unknown = sorted(set(self.spec.controls) - set(self._camera.camera_controls))
            if unknown:
                raise DeviceError(f"{self.what} has no control {unknown[0]}", "names are libcamera's: ExposureTime")
            settings = self._camera.create_video_configuration(
                main={"size": self._size, "format": "YUV420"},
                lores=self._second_stream(),
                buffer_count=6,
                controls={**self.spec.controls, "FrameRate": rate},
            )
            self._camera.configure(settings)
            self._camera.start()
        except IndexError:
            raise DeviceError(f"there is no {self.what}", "is its cable seated? see `noctule sources`") from None
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"{self.what} does not start: {error}", "is another program using it?") from None
        actual = self._camera.camera_configuration()
        self._size, self._stride = tuple(actual["main"]["size"]), int(actual["main"]["stride"])
        lores = actual.get("lores")
        self._small = (*lores["size"], int(lores["stride"])) if lores else None
        name = str(actual.get("colour_space", "")).partition("/")[0]
        self._colour = _COLOURS.get(name, ("bt709" if self._size[1] >= 720 else "bt601", False))
        return {
            "width": self._size[0],
            "height": self._size[1],
            "fps": rate,
            "format": "yuv420p",
            "codec": "libcamera",
            "camera": self._camera.camera_properties.get("Model", ""),
        }

    def pace(self, fps: float) -> None:
        wanted = self.spec.fps or 30.0
        self._camera.set_controls({"FrameRate": min(fps, wanted) if fps > 0 else wanted})

    def read(self) -> Delivery:
        self._release()
        request = self._request = self._camera.capture_request()
        metadata = request.get_metadata()
        flat = np.frombuffer(request.make_buffer("main"), np.uint8)
        width, height = self._size
        luma, chroma = self._stride * height, self._stride // 2 * (height // 2)
        if flat.size < luma + 2 * chroma:
            raise DeviceError(f"{self.what} delivered a picture of {flat.size} bytes, too few for {width}x{height}")
        planes = [
            flat[:luma].reshape(height, self._stride)[:, :width],
            flat[luma : luma + chroma].reshape(height // 2, self._stride // 2)[:, : width // 2],
            flat[luma + chroma : luma + 2 * chroma].reshape(height // 2, self._stride // 2)[:, : width // 2],
        ]
        stamp = int(metadata.get("SensorTimestamp", 0)) or time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self._first is None:
            self._first = stamp
        # Sensor timestamps count suspended time too; everything here counts CLOCK_MONOTONIC.
        asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        captured = min((stamp - asleep) / 1e9, time.monotonic())
        matrix, full = self._colour
        return Delivery(
            [
                RawPicture(
                    "yuv420p",
                    width,
                    height,
                    planes,
                    Fraction(stamp - self._first, 10**9),
                    captured,
                    matrix,
                    full,
                    self.spec.rotate,
                    small=self._brightness(request),
                )
            ]
        )

    def _second_stream(self) -> dict[str, Any] | None:
        """What motion and scene detection look at: shrunk by the image processor, at no cost to the processor. A
        picture that is small already needs none."""
        width, height = self._size
        if width < 2 * _SMALL:
            return None
        return {"size": (_SMALL, max(2, round(_SMALL * height / width) & ~1)), "format": "YUV420"}

    def _brightness(self, request: Any) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
        if self._small is None:
            return None
        width, height, stride = self._small
        flat = np.frombuffer(request.make_buffer("lores"), np.uint8)
        if flat.size < stride * height:
            raise DeviceError(f"{self.what} delivered a small picture of {flat.size} bytes, too few")
        return flat[: stride * height].reshape(height, stride)[:, :width]

    def stream(self) -> StreamInfo | None:
        return None

    def _release(self) -> None:
        """Every request must go back, or the camera runs out of buffers."""
        if self._request is not None:
            self._request.release()
            self._request = None

    def close(self) -> None:
        if self._camera is not None:
            self._release()
            self._camera.stop()
            self._camera.close()
