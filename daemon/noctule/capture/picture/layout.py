"""How pixels lie in memory: the pixel formats (FFmpeg's names) that Noctule moves about, as planes of rows.

Everything here is arithmetic; a plane is a numpy uint8 array [rows, bytes per row] without padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noctule.core.errors import InputError

Bytes2D = npt.NDArray[np.uint8]

#: no picture is larger than this in either direction, nor has more pixels (an 8K screen has 33 million).
MAX_SIDE = 16384
MAX_PIXELS = 36_000_000


@dataclass(frozen=True)
class PixelFormat:
    """planes: for each (horizontal shift, vertical shift, bytes per sample); shift 1 halves the size, rounding up.

    code: the number in the ring's slot header; rgb: for packed RGB, the byte offsets of red, green and blue.
    """

    name: str
    code: int
    planes: tuple[tuple[int, int, int], ...]
    rgb: tuple[int, int, int] | None = None

    @property
    def is_yuv(self) -> bool:
        return self.rgb is None and self.name != "gray"


_ALL = (
    PixelFormat("bgr0", 1, ((0, 0, 4),), (2, 1, 0)),
    PixelFormat("rgb0", 2, ((0, 0, 4),), (0, 1, 2)),
    PixelFormat("bgra", 3, ((0, 0, 4),), (2, 1, 0)),
    PixelFormat("rgba", 4, ((0, 0, 4),), (0, 1, 2)),
    PixelFormat("rgb24", 5, ((0, 0, 3),), (0, 1, 2)),
    PixelFormat("bgr24", 6, ((0, 0, 3),), (2, 1, 0)),
    PixelFormat("gray", 7, ((0, 0, 1),)),
    PixelFormat("yuv420p", 8, ((0, 0, 1), (1, 1, 1), (1, 1, 1))),
    PixelFormat("yuv422p", 9, ((0, 0, 1), (1, 0, 1), (1, 0, 1))),
    PixelFormat("yuv444p", 10, ((0, 0, 1), (0, 0, 1), (0, 0, 1))),
    PixelFormat("nv12", 11, ((0, 0, 1), (1, 1, 2))),
    PixelFormat("yuyv422", 12, ((1, 0, 4),)),
)
FORMATS: dict[str, PixelFormat] = {f.name: f for f in _ALL}
BY_CODE: dict[int, PixelFormat] = {f.code: f for f in _ALL}
#: full-range twins of FFmpeg's deprecated "J" names
FULL_RANGE_NAMES = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}


def plane_shapes(fmt: PixelFormat, width: int, height: int) -> list[tuple[int, int]]:
    """(rows, bytes per row) of each plane of a width x height picture."""
    shapes = []
    for h_shift, v_shift, size in fmt.planes:
        columns = -(-width >> h_shift) if h_shift == 0 else (width + 1) // 2
        rows = height if v_shift == 0 else (height + 1) // 2
        shapes.append((rows, columns * size))
    return shapes


def picture_bytes(fmt: PixelFormat, width: int, height: int) -> int:
    """Bytes of all planes, unpadded."""
    return sum(rows * row for rows, row in plane_shapes(fmt, width, height))


def check_size(width: int, height: int, where: str) -> None:
    """InputError for a picture without pixels or beyond MAX_SIDE or MAX_PIXELS."""
    if width < 1 or height < 1:
        raise InputError(f"{where} has no picture size ({width}x{height})")
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{where} has pictures of {width}x{height}, beyond the limit of {MAX_PIXELS // 1_000_000} megapixels",
            "scale it down first",
        )


def split_planes(flat: npt.NDArray[np.uint8], fmt: PixelFormat, width: int, height: int) -> list[Bytes2D]:
    """Views of each plane in a flat uint8 array that holds them one after another."""
    planes: list[Bytes2D] = []
    offset = 0
    for rows, row in plane_shapes(fmt, width, height):
        planes.append(flat[offset : offset + rows * row].reshape(rows, row))
        offset += rows * row
    return planes


def copy_planes(source: Sequence[Bytes2D], target: Sequence[Bytes2D]) -> None:
    """Copy plane by plane; the source's rows may be padded at the right."""
    for from_plane, to_plane in zip(source, target, strict=True):
        np.copyto(to_plane, from_plane[: to_plane.shape[0], : to_plane.shape[1]])
