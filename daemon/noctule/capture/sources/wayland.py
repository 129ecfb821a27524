"""A Wayland compositor's first output: the compositor writes each picture into our ring (see wlcopy.py)."""

from __future__ import annotations

import os
import struct
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from noctule.capture.picture.layout import check_size
from noctule.capture.protocols.wayland import WaylandConnection, sockets
from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo
from noctule.capture.sources.wlcopy import FORMATS, Copier, PixelOffer, copier_of
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError

#: wl_output's event that tells how its pixels are turned
_GEOMETRY = 0


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
        self._connection: WaylandConnection | None = None
        self._copier: Copier | None = None
        self._offer: PixelOffer | None = None  # for a picture that is begun
        self._shm = 0
        self._transform = 0
        self._pool: tuple[int, int] | None = None  # (memory file, its pool)
        self._began = self._due = 0.0
        self._step = 1.0 / (spec.fps or 30.0)

    @property
    def _wl(self) -> WaylandConnection:
        assert self._connection is not None
        return self._connection

    def open(self) -> dict[str, Any]:
        self._connection = wl = WaylandConnection(socket_of(self.spec.address))
        self._shm = wl.bind("wl_shm", 1, _ignore)
        output = wl.bind("wl_output", 1, self._on_output)
        self._copier = copier_of(wl, output, self.spec.cursor)
        self._offer = self._ask()
        self._began = self._due = time.monotonic()
        return {
            "width": self._offer.width,
            "height": self._offer.height,
            "fps": 1 / self._step,
            "format": "bgr0",
            "codec": self._copier.name,
        }

    def read(self) -> Delivery:
        now = time.monotonic()
        if now < self._due:
            time.sleep(self._due - now)
        self._due = max(self._due + self._step, time.monotonic())
        offer = self._offer = self._offer or self._ask()
        if offer.format not in FORMATS or offer.stride != offer.width * 4:
            form = f"({offer.format:#x}, {offer.stride})"
            raise DeviceError(f"{self._wl.what} gives pictures in a form {form} that is not read")
        if self._transform > 3:
            raise DeviceError(f"{self._wl.what} shows a mirrored picture, which is not supported")
        captured = time.monotonic()
        pts = Fraction(round((captured - self._began) * 1e6), 10**6)
        return Delivery(
            [
                RawPicture(
                    FORMATS[offer.format],
                    offer.width,
                    offer.height,
                    (),
                    pts,
                    captured,
                    "rgb",
                    True,
                    (self._transform * 90 + self.spec.rotate) % 360,
                    fill=self._fill,
                )
            ]
        )

    def _ask(self) -> PixelOffer:
        assert self._copier is not None
        offer = self._copier.ask()
        check_size(offer.width, offer.height, self._wl.what)
        return offer

    def _fill(self, memory: int, offset: int) -> None:
        """Have the compositor write the picture into the ring, and wait until it has."""
        wl, offer = self._wl, self._offer
        assert offer is not None
        assert self._copier is not None
        self._offer = None
        if self._pool is None or self._pool[0] != memory:
            pool = wl.new(_ignore)
            wl.send(self._shm, 0, struct.pack("=Ii", pool, os.fstat(memory).st_size), memory)
            self._pool = (memory, pool)
        buffer = wl.new(_ignore)
        place = (buffer, offset, offer.width, offer.height, offer.stride, offer.format)
        wl.send(self._pool[1], 0, struct.pack("=IiiiiI", *place))
        try:
            self._copier.take(buffer)
        finally:
            wl.send(buffer, 0)
            wl.forget(buffer)

    def _on_output(self, opcode: int, body: bytes) -> None:
        """A screen that stands on its side: the compositor's pixels lie as the screen has them."""
        if opcode == _GEOMETRY:
            at = 20
            for _ in ("make", "model"):
                at += 4 + -(-int.from_bytes(body[at : at + 4], sys.byteorder) // 4) * 4
            (self._transform,) = struct.unpack_from("=i", body, at)

    def stream(self) -> StreamInfo | None:
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _ignore(opcode: int, body: bytes) -> None:
    pass
