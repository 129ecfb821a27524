"""What a V4L2 device is and can do: a few ioctls (linux/videodev2.h), answered from the driver's tables without
starting the camera."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from noctule.core.errors import DeviceError

_CAPTURE, _CAPTURE_MPLANE, _M2M, _M2M_MPLANE = 0x1, 0x1000, 0x8000, 0x4000
_DEVICE_CAPS = 0x80000000
#: fourcc -> FFmpeg's name of the camera format
FORMATS = {
    b"MJPG": "mjpeg",
    b"YUYV": "yuyv422",
    b"NV12": "nv12",
    b"H264": "h264",
    b"YU12": "yuv420p",
    b"JPEG": "mjpeg",
    b"UYVY": "uyvy422",
    b"GREY": "gray",
    b"RGB3": "rgb24",
    b"BGR3": "bgr24",
    b"HEVC": "hevc",
}


def _iowr(number: int, size: int) -> int:
    return 0xC0000000 | size << 16 | ord("V") << 8 | number


_QUERYCAP = 0x80000000 | 104 << 16 | ord("V") << 8
_ENUM_FMT = _iowr(2, 64)
_ENUM_FRAMESIZES = _iowr(74, 44)
_ENUM_FRAMEINTERVALS = _iowr(75, 52)


@dataclass(frozen=True)
class Mode:
    """One format with the sizes it comes in, and the best rate of each (0 where the driver does not say)."""

    format: str
    fourcc: str
    sizes: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Camera:
    """card, driver, bus: the driver's names for it; modes: what it delivers."""

    path: str
    card: str
    driver: str
    bus: str
    modes: tuple[Mode, ...] = field(default_factory=tuple)


def camera(path: Path) -> Camera | None:
    """The camera at `path`, or None when the device there is no camera. DeviceError when it cannot be asked."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reasons = {errno.EBUSY: "is in use by another program", errno.EACCES: "may not be used by this user"}
        raise DeviceError(f"{path} {reasons.get(error.errno or 0, f'cannot be opened: {error.strerror}')}") from None
    try:
        return _ask(fd, str(path))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return None
        raise DeviceError(f"{path} does not answer: {error.strerror}") from None
    finally:
        os.close(fd)


def _ask(fd: int, path: str) -> Camera | None:
    answer = fcntl.ioctl(fd, _QUERYCAP, bytes(104))
    driver, card, bus, _, caps, device_caps = struct.unpack_from("<16s32s32sIII", answer)
    able = device_caps if caps & _DEVICE_CAPS else caps
    if not able & (_CAPTURE | _CAPTURE_MPLANE) or able & (_M2M | _M2M_MPLANE):
        return None
    kind = 1 if able & _CAPTURE else 9
    modes = []
    for index in range(64):
        try:
            answer = fcntl.ioctl(fd, _ENUM_FMT, struct.pack("<III32sIII", index, kind, 0, b"", 0, 0, 0) + bytes(8))
        except OSError:
            break
        fourcc = answer[44:48]
        modes.append(Mode(FORMATS.get(fourcc, ""), _printed(fourcc), _sizes(fd, fourcc)))
    names = [text.split(b"\0")[0].decode(errors="replace") for text in (card, driver, bus)]
    return Camera(path, names[0], names[1], names[2], tuple(modes))


def _printed(fourcc: bytes) -> str:
    """A format's four characters; bit 31 marks the big-endian twin of one (V4L2_PIX_FMT_FLAG_BE)."""
    name = "".join(chr(byte & 0x7F) if 32 <= byte & 0x7F < 127 else "?" for byte in fourcc)
    return name + ("-BE" if fourcc[3] & 0x80 else "")


def _sizes(fd: int, fourcc: bytes) -> tuple[tuple[int, int, float], ...]:
    sizes = []
    for index in range(64):
        try:
            answer = fcntl.ioctl(fd, _ENUM_FRAMESIZES, struct.pack("<I4s", index, fourcc) + bytes(36))
        except OSError:
            break
        (kind,) = struct.unpack_from("<I", answer, 8)
        if kind == 1:
            width, height = struct.unpack_from("<II", answer, 12)
            sizes.append((width, height, _rate(fd, fourcc, width, height)))
            continue
        _, largest_width, _, _, largest_height, _ = struct.unpack_from("<6I", answer, 12)
        sizes.append((largest_width, largest_height, _rate(fd, fourcc, largest_width, largest_height)))
        break
    return tuple(sizes)


def _rate(fd: int, fourcc: bytes, width: int, height: int) -> float:
    """The highest rate at this size, in frames per second."""
    best = 0.0
    for index in range(64):
        try:
            request = struct.pack("<I4sII", index, fourcc, width, height) + bytes(36)
            answer = fcntl.ioctl(fd, _ENUM_FRAMEINTERVALS, request)
        except OSError:
            break
        (kind, numerator, denominator) = struct.unpack_from("<III", answer, 16)
        if numerator:
            best = max(best, denominator / numerator)
        if kind != 1:
            break
    return round(best, 3)


def choose(found: Camera, width: int, height: int, wanted: str) -> tuple[str, int, int, float]:
    """(format, width, height, rate) to ask the camera for.

    The wanted format or DeviceError; else the one that reaches the wanted size (or 1280x720) fastest, preferring
    raw pixels (cheaper) to compressed ones. The size is the nearest that the camera has.
    """
    usable = [mode for mode in found.modes if mode.format and mode.sizes and (not wanted or mode.format == wanted)]
    if not usable:
        have = ", ".join(sorted({m.format or m.fourcc for m in found.modes})) or "nothing"
        raise DeviceError(f"{found.path} does not deliver {wanted or 'a known format'}, only {have}")
    goal = (width or 1280, height or 720)
    order = ["nv12", "yuv420p", "yuyv422", "uyvy422", "mjpeg", "h264", "hevc", "gray", "rgb24", "bgr24"]

    def cost(option: tuple[Mode, tuple[int, int, float]]) -> tuple[float, float, int]:
        mode, (w, h, rate) = option
        return abs(w - goal[0]) + abs(h - goal[1]), -min(rate or 30.0, 30.0), order.index(mode.format)

    mode, (w, h, rate) = min(((m, s) for m in usable for s in m.sizes), key=cost)
    return mode.format, w, h, rate
