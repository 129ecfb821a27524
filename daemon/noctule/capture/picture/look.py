"""The fingerprint of a picture that motion and scene detection compare, when a device makes a small picture itself.

It travels beside the announcement of the picture, as text: 36 rows of 64 bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from noctule.capture.picture.masks import paint
from noctule.capture.spec import Mask

WIDTH, HEIGHT = 64, 36


def look_of(small: npt.NDArray[np.uint8], rotation: int, masks: Sequence[Mask] = ()) -> str:
    """uint8 [rows, columns] brightness, as stored, to text, with the masks painted over it. Every block is the mean
    of all its pixels; a row or column more or less than a multiple is left out evenly."""
    if masks:
        small = small.copy()
        rows, columns = small.shape
        paint([small], "gray", columns, rows, rotation, masks)
    height, width = max(1, small.shape[0] // HEIGHT) * HEIGHT, max(1, small.shape[1] // WIDTH) * WIDTH
    even = small[np.arange(height) * small.shape[0] // height][:, np.arange(width) * small.shape[1] // width]
    blocks = even.reshape(HEIGHT, height // HEIGHT, WIDTH, width // WIDTH).mean(axis=(1, 3), dtype=np.float32)
    return base64.b64encode(np.rint(blocks).astype(np.uint8).tobytes()).decode("ascii")


def look_from(text: object) -> npt.NDArray[np.float32] | None:
    """float32 [36, 64] of what `look_of` gave, or None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != WIDTH * HEIGHT:
        return None
    return np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH).astype(np.float32)
