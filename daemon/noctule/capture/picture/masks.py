"""Privacy masks: parts of a picture painted over before anybody sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from noctule.capture.picture.layout import FORMATS
from noctule.capture.spec import Mask

#: the paint, a mid grey: luma, chroma, and each byte of packed RGB. Not black: a mask shows that it is one.
_GREY = 128


def stored_rectangle(mask: Mask, width: int, height: int, rotation: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in pixels as stored, of a mask given in fractions of the upright picture.

    width, height: of the stored picture; rotation: degrees clockwise that make it upright. Rounded outwards, to even
    pixels, so that shared chroma samples are covered too.
    """
    x, y, w, h = mask
    corners = {
        0: (x, y, x + w, y + h),
        90: (y, 1 - x - w, y + h, 1 - x),
        180: (1 - x - w, 1 - y - h, 1 - x, 1 - y),
        270: (1 - y - h, x, 1 - y, x + w),
    }[rotation]
    left, top = int(corners[0] * width + 1e-6) & ~1, int(corners[1] * height + 1e-6) & ~1
    right, bottom = math.ceil(corners[2] * width - 1e-6), math.ceil(corners[3] * height - 1e-6)
    return max(0, left), max(0, top), min(width, (right + 1) & ~1), min(height, (bottom + 1) & ~1)


def paint(
    planes: Sequence[npt.NDArray[np.uint8]],
    pix_fmt: str,
    width: int,
    height: int,
    rotation: int,
    masks: Sequence[Mask],
) -> None:
    """Paint the masks into a picture's planes, in place."""
    for mask in masks:
        left, top, right, bottom = stored_rectangle(mask, width, height, rotation)
        for plane, (h_shift, v_shift, size) in zip(planes, FORMATS[pix_fmt].planes, strict=True):
            # ceiling of the right edge, so that a shared sample at an odd right border is painted too
            columns = slice((left >> h_shift) * size, -(-right >> h_shift) * size)
            rows = slice(top >> v_shift, -(-bottom >> v_shift))
            plane[rows, columns] = _GREY
