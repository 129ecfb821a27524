"""An X11 display: the server itself writes each picture into our ring (MIT-SHM 1.2, a shared memory file).

No pixel passes through this process, so a picture costs it next to nothing. Source of the encodings: MIT-SHM.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from noctule.capture.picture.layout import Bytes2D, check_size
from noctule.capture.protocols.x11 import X11Connection, explained
from noctule.capture.protocols.x11_cursor import Pointer
from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError

#: seconds in which the server must answer.
_PATIENCE = 1.0
#: seconds between looks at the screen's size.
_LOOK = 1.0
_QUERY, _GET_IMAGE, _ATTACH_FD, _Z_PIXMAP = 0, 4, 6, 2


class X11Source:
    """address: ":0". Takes a picture `fps` times a second, from the upper left when a smaller size is wanted."""

    on_demand: Literal[True] = True

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self._connection: X11Connection | None = None
        self._pointer: Pointer | None = None
        self._size = (0, 0)
        self._attached = (-1, 0)  # (memory file, the server's number for it)
        self._began = self._due = self._looked = 0.0
        self._step = 1.0 / (spec.fps or 30.0)

    @property
    def _x(self) -> X11Connection:
        assert self._connection is not None
        return self._connection

    def open(self) -> dict[str, Any]:
        self._connection = X11Connection(self.spec.address, _PATIENCE)
        screen = self._x.display
        if screen.depth not in (24, 32):
            raise DeviceError(f"{self._x.what} has {screen.depth} bits a pixel", "set the X server to depth 24")
        with explained(self._x.what):
            version = self._x.wire.request(self._x.shm, _QUERY, b"")
            if struct.unpack_from("<HH", version, 8) < (1, 2):
                raise DeviceError(f"{self._x.what} is too old: it cannot share memory files", "update the X server")
            if self.spec.cursor:
                self._pointer = Pointer(self._x)
        self._measure(screen.width, screen.height)
        self._began = self._due = time.monotonic()
        return {
            "width": self._size[0],
            "height": self._size[1],
            "fps": 1 / self._step,
            "format": "bgr0",
            "codec": "x11",
        }

    def _measure(self, width: int, height: int) -> None:
        size = (min(self.spec.width or width, width), min(self.spec.height or height, height))
        check_size(*size, self._x.what)
        self._size = size
        self._looked = time.monotonic()

    def read(self) -> Delivery:
        now = time.monotonic()
        if now < self._due:
            time.sleep(self._due - now)
        # A picture that is late is taken now, and the next ones keep their distance.
        self._due = max(self._due + self._step, time.monotonic())
        if time.monotonic() - self._looked > _LOOK:
            with explained(self._x.what):
                self._measure(*self._x.size())
        captured = time.monotonic()
        pts = Fraction(round((captured - self._began) * 1e6), 10**6)
        picture = RawPicture("bgr0", *self._size, (), pts, captured, "rgb", True, self.spec.rotate, fill=self._fill)
        picture.finish = self._point if self._pointer is not None else None
        return Delivery([picture])

    def _point(self, planes: Sequence[Bytes2D]) -> None:
        with explained(self._x.what):
            if self._pointer is not None:
                self._pointer.paint(planes, self._size[0])

    def _fill(self, memory: int, offset: int) -> None:
        with explained(self._x.what):
            if self._attached[0] != memory:
                segment = max(self._x.ids, self._attached[1]) + 1
                self._x.wire.send(self._x.shm, _ATTACH_FD, struct.pack("<IB3x", segment, 0), memory)
                self._attached = (memory, segment)
            ask = struct.pack(
                "<IhhHHIB3xII", self._x.root, 0, 0, *self._size, 0xFFFFFFFF, _Z_PIXMAP, self._attached[1], offset
            )
            reply = self._x.wire.request(self._x.shm, _GET_IMAGE, ask)
            if not reply:
                raise DeviceError(f"{self._x.what} refused to give its picture", "did its size change just now?")
            (size,) = struct.unpack_from("<I", reply, 12)
            if size != self._size[0] * self._size[1] * 4:
                raise DeviceError(f"{self._x.what} gave {size} bytes for {self._size[0]}x{self._size[1]} pixels")

    def stream(self) -> StreamInfo | None:
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
