"""A Wayland compositor's first output, through wlr-screencopy: the compositor writes each picture into our ring."""

from __future__ import annotations

import os
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from noctule.capture.layout import check_size
from noctule.capture.sources.base import Delivery, Picture, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.capture.wlwire import Connection, sockets
from noctule.errors import DeviceError

MANAGER = "zwlr_screencopy_manager_v1"
#: wl_shm's pixel formats (little-endian words) -> ours
_FORMATS = {0: "bgr0", 1: "bgr0", 0x34324258: "rgb0", 0x34324241: "rgb0"}
_BUFFER, _FLAGS, _READY, _FAILED, _BUFFER_DONE = 0, 1, 2, 3, 6


def socket_of(address: str) -> Path:
    """The compositor's socket: a path, a name such as wayland-0, or the first there is. DeviceError for none."""
    if address.startswith("/"):
        return Path(address)
    found = [path for path in sockets() if not address or path.name == address]
    if not found:
        what = f"no Wayland display named {address}" if address else "no Wayland display"
        raise DeviceError(f"there is {what} that this user can see", "`noctule sources` lists what there is")
    return found[0]


class WaylandSource:
    """address: see `socket_of`."""

    on_demand: Literal[True] = True

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self._connection: Connection | None = None
        self._shm = self._output = self._manager = self._frame = 0
        self._version = 1
        self._pool: tuple[int, int] | None = None  # (memory file, its pool)
        self._offered: tuple[int, int, int, int] | None = None  # format, width, height, stride
        self._state: set[int] = set()
        self._flags = 0
        self._began = self._due = 0.0
        self._step = 1.0 / (spec.fps or 30.0)

    @property
    def _wl(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def open(self) -> dict[str, Any]:
        self._connection = wl = Connection(socket_of(self.spec.address))
        self._shm = wl.bind("wl_shm", 1, _ignore)
        self._output = wl.bind("wl_output", 1, _ignore)
        self._manager = wl.bind(MANAGER, 3, _ignore)
        self._version = min(3, wl.globals[MANAGER][1])
        self._ask()
        assert self._offered is not None
        _, width, height, _ = self._offered
        self._began = self._due = time.monotonic()
        return {"width": width, "height": height, "fps": 1 / self._step, "format": "bgr0", "codec": "wlr-screencopy"}

    def read(self) -> Delivery:
        now = time.monotonic()
        if now < self._due:
            time.sleep(self._due - now)
        self._due = max(self._due + self._step, time.monotonic())
        if not self._frame:
            self._ask()
        assert self._offered is not None
        number, width, height, stride = self._offered
        if number not in _FORMATS or stride != width * 4:
            raise DeviceError(f"{self._wl.what} gives pictures in a form ({number:#x}, {stride}) that is not read")
        captured = time.monotonic()
        pts = Fraction(round((captured - self._began) * 1e6), 10**6)
        return Delivery(
            [
                Picture(
                    _FORMATS[number], width, height, (), pts, captured, "rgb", True, self.spec.rotate, fill=self._fill
                )
            ]
        )

    def _ask(self) -> None:
        """Begin a picture: the compositor says what memory it needs."""
        self._offered, self._state, self._flags = None, set(), 0
        self._frame = self._wl.new(self._on_frame)
        cursor = int(self.spec.cursor)
        self._wl.send(self._manager, 0, struct.pack("=IiI", self._frame, cursor, self._output))
        told = _BUFFER_DONE if self._version >= 3 else _BUFFER
        self._wl.wait(lambda: told in self._state or _FAILED in self._state)
        if self._offered is None:
            raise DeviceError(f"{self._wl.what} failed to begin a picture", "was its screen switched off?")
        check_size(self._offered[1], self._offered[2], self._wl.what)

    def _fill(self, memory: int, offset: int) -> None:
        """Have the compositor write the picture into the ring, and wait until it has."""
        wl = self._wl
        assert self._offered is not None
        number, width, height, stride = self._offered
        if self._pool is None or self._pool[0] != memory:
            pool = wl.new(_ignore)
            wl.send(self._shm, 0, struct.pack("=Ii", pool, os.fstat(memory).st_size), memory)
            self._pool = (memory, pool)
        buffer = wl.new(_ignore)
        wl.send(self._pool[1], 0, struct.pack("=IiiiiI", buffer, offset, width, height, stride, number))
        wl.send(self._frame, 0, struct.pack("=I", buffer))
        try:
            wl.wait(lambda: self._state & {_READY, _FAILED})
        finally:
            wl.send(self._frame, 1)
            wl.send(buffer, 0)
            wl.forget(self._frame)
            wl.forget(buffer)
            self._frame = 0
        if _FAILED in self._state:
            raise DeviceError(f"{wl.what} failed to give its picture", "did its size change just now?")
        if self._flags & 1:
            raise DeviceError(f"{wl.what} gives pictures upside down, which is not supported")

    def _on_frame(self, opcode: int, body: bytes) -> None:
        if opcode == _BUFFER and self._offered is None:
            self._offered = struct.unpack_from("=IIII", body)
        elif opcode == _FLAGS:
            (self._flags,) = struct.unpack_from("=I", body)
        self._state.add(opcode)

    def stream(self) -> StreamInfo | None:
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _ignore(opcode: int, body: bytes) -> None:
    pass
