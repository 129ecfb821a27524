"""A clock that a program can read: a number drawn as a grid of black and white cells, with a check sum.

For measuring how old a captured picture is, and for knowing which picture one is, through any codec.
"""

from __future__ import annotations

import binascii

import numpy as np
import numpy.typing as npt

COLUMNS, ROWS = 16, 5  # 64 bits of the number, 16 of the check sum


def bits(number: int) -> npt.NDArray[np.uint8]:
    """uint8 [ROWS, COLUMNS] of 0 and 1."""
    data = number.to_bytes(8, "big")
    whole = data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    return np.unpackbits(np.frombuffer(whole, np.uint8)).reshape(ROWS, COLUMNS)


def draw(picture: npt.NDArray[np.uint8], number: int, cell: int = 16) -> None:
    """Draw `number` at the upper left of a picture [height, width] or [height, width, channels], in place."""
    grid = np.kron(bits(number) * np.uint8(255), np.ones((cell, cell), np.uint8))
    picture[: ROWS * cell, : COLUMNS * cell] = grid if picture.ndim == 2 else grid[:, :, None]


def read(picture: npt.NDArray[np.uint8], cell: int = 16) -> int | None:
    """The number in a picture [height, width] or [height, width, channels], or None when there is none whole."""
    if picture.shape[0] < ROWS * cell or picture.shape[1] < COLUMNS * cell:
        return None
    half = cell // 2
    cells = picture[half : ROWS * cell : cell, half : COLUMNS * cell : cell]
    data = np.packbits((cells if cells.ndim == 2 else cells[..., 1]) > 127).tobytes()
    number, check = data[:8], int.from_bytes(data[8:], "big")
    return int.from_bytes(number, "big") if binascii.crc_hqx(number, 0xFFFF) == check else None
