"""The mouse pointer of an X11 display, which is in no picture of it: asked for (XFixes) and painted in.

Source of the encodings: the XFIXES protocol 1.0, GetCursorImage; its pixels are ARGB words with the colours already
multiplied by the opacity, so a pixel becomes  pointer + (1 - opacity) * screen.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from noctule.capture.picture.layout import Bytes2D
from noctule.capture.protocols.x11 import X11Connection
from noctule.core.errors import DeviceError

_QUERY_VERSION, _GET_CURSOR_IMAGE = 0, 4
#: pointers larger than this in either direction are not believed.
_LARGEST = 1024


class Pointer:
    """The pointer of one connection. DeviceError when the server does not tell it."""

    def __init__(self, connection: X11Connection) -> None:
        self._x = connection
        opcode = connection.wire.extension("XFIXES")
        if opcode is None or not connection.wire.request(opcode, _QUERY_VERSION, struct.pack("<II", 1, 0)):
            raise DeviceError(
                f"{connection.what} has no XFIXES, without which its pointer cannot be shown",
                "take cursor = true out of the source",
            )
        self._opcode = opcode

    def paint(self, planes: Sequence[Bytes2D], width: int) -> None:
        """Paint it as it is now into a bgr0 picture (planes[0]: uint8 [rows, 4 x width]), where it is inside."""
        reply = self._x.wire.request(self._opcode, _GET_CURSOR_IMAGE, b"")
        if not reply:
            return  # no pointer at the moment
        x, y, wide, high, hot_x, hot_y = struct.unpack_from("<hhHHHH", reply, 8)
        if not 0 < wide <= _LARGEST or not 0 < high <= _LARGEST or len(reply) < 32 + 4 * wide * high:
            return
        image = np.frombuffer(reply, np.uint8, 4 * wide * high, 32).reshape(high, wide, 4)
        screen = planes[0].reshape(planes[0].shape[0], width, 4)
        left, top = x - hot_x, y - hot_y
        skip_x, skip_y = max(0, -left), max(0, -top)
        under = screen[top + skip_y : max(0, top + high), left + skip_x : max(0, left + wide), :3]
        over = image[skip_y : skip_y + under.shape[0], skip_x : skip_x + under.shape[1]].astype(np.uint16)
        clear = 255 - over[..., 3:]
        under[...] = np.minimum(over[..., :3] + (under * clear + 127) // 255, 255)
