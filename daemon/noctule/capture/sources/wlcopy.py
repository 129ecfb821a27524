"""The two protocols by which a Wayland compositor copies an output's picture into memory of ours.

Source of the encodings: wlr-screencopy-unstable-v1; ext-image-copy-capture-v1 and ext-image-capture-source-v1 of
wayland-protocols 1.37. The second is the standard that replaces the first; where both are offered it is taken.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Protocol

from noctule.capture.protocols.wayland import WaylandConnection
from noctule.core.errors import DeviceError

WLR_MANAGER = "zwlr_screencopy_manager_v1"
EXT_MANAGER = "ext_image_copy_capture_manager_v1"
EXT_SOURCES = "ext_output_image_capture_source_manager_v1"
#: wl_shm's pixel formats (little-endian words) -> ours
FORMATS = {0: "bgr0", 1: "bgr0", 0x34324258: "rgb0", 0x34324241: "rgb0"}


@dataclass(frozen=True)
class PixelOffer:
    """What memory the compositor wants for its next picture. format: wl_shm's number; stride: bytes per row."""

    format: int
    width: int
    height: int
    stride: int


class Copier(Protocol):
    """One protocol. `ask` begins a picture and `take` has it written into a wl_buffer and waits until it is. Both
    raise DeviceError; after an error in `take` the picture is given up."""

    name: str

    def ask(self) -> PixelOffer: ...
    def take(self, buffer: int) -> None: ...


def offered(connection: WaylandConnection) -> bool:
    """Does this compositor let programs take pictures of its outputs?"""
    return WLR_MANAGER in connection.globals or {EXT_MANAGER, EXT_SOURCES} <= connection.globals.keys()


def copier_of(connection: WaylandConnection, output: int, cursor: bool) -> Copier:
    """The best protocol there is for pictures of `output`. cursor: with the pointer. DeviceError when none is."""
    if {EXT_MANAGER, EXT_SOURCES} <= connection.globals.keys():
        return ImageCopy(connection, output, cursor)
    return Screencopy(connection, output, cursor)


def _ignore(opcode: int, body: bytes) -> None:
    pass


class Screencopy:
    """wlr-screencopy."""

    name = "wlr-screencopy"
    _BUFFER, _FLAGS, _READY, _FAILED, _BUFFER_DONE = 0, 1, 2, 3, 6

    def __init__(self, connection: WaylandConnection, output: int, cursor: bool) -> None:
        self._wl, self._output, self._cursor = connection, output, cursor
        self._manager = connection.bind(WLR_MANAGER, 3, _ignore)
        self._told = self._BUFFER_DONE if connection.globals[WLR_MANAGER][1] >= 3 else self._BUFFER
        self._frame = self._flags = 0
        self._offer: PixelOffer | None = None
        self._state: set[int] = set()

    def ask(self) -> PixelOffer:
        self._offer, self._state, self._flags = None, set(), 0
        self._frame = self._wl.new(self._on_frame)
        self._wl.send(self._manager, 0, struct.pack("=IiI", self._frame, int(self._cursor), self._output))
        self._wl.wait(lambda: self._told in self._state or self._FAILED in self._state)
        if self._offer is None:
            raise DeviceError(f"{self._wl.what} failed to begin a picture", "was its screen switched off?")
        return self._offer

    def take(self, buffer: int) -> None:
        self._wl.send(self._frame, 0, struct.pack("=I", buffer))
        try:
            self._wl.wait(lambda: self._state & {self._READY, self._FAILED})
        finally:
            self._wl.send(self._frame, 1)
            self._wl.forget(self._frame)
        if self._FAILED in self._state:
            raise DeviceError(f"{self._wl.what} failed to give its picture", "did its size change just now?")
        if self._flags & 1:
            raise DeviceError(f"{self._wl.what} gives pictures upside down, which is not supported")

    def _on_frame(self, opcode: int, body: bytes) -> None:
        if opcode == self._BUFFER and self._offer is None:
            self._offer = PixelOffer(*struct.unpack_from("=IIII", body))
        elif opcode == self._FLAGS:
            (self._flags,) = struct.unpack_from("=I", body)
        self._state.add(opcode)


class ImageCopy:
    """ext-image-copy-capture. A session for each picture: only a session's first comes at once, later ones wait,
    for as long as it takes, until the screen changes; and a picture of an unchanged screen is a picture of now."""

    name = "ext-image-copy-capture"
    _SIZE, _FORMAT, _DONE, _STOPPED = 0, 1, 4, 5
    _READY, _FAILED = 3, 4
    _REASONS: ClassVar = {1: "it wants another size or format by now", 2: "its screen is gone"}

    def __init__(self, connection: WaylandConnection, output: int, cursor: bool) -> None:
        self._wl, self._options = connection, int(cursor)
        self._manager = connection.bind(EXT_MANAGER, 1, _ignore)
        sources = connection.bind(EXT_SOURCES, 1, _ignore)
        self._source = connection.new(_ignore)
        connection.send(sources, 0, struct.pack("=II", self._source, output))
        self._session = 0
        self._size = (0, 0)
        self._formats: list[int] = []
        self._ready = self._stopped = False
        self._done = False
        self._failure: int | None = None

    def ask(self) -> PixelOffer:
        self._formats, self._done, self._stopped = [], False, False
        self._session = self._wl.new(self._on_session)
        self._wl.send(self._manager, 0, struct.pack("=III", self._session, self._source, self._options))
        try:
            self._wl.wait(lambda: self._done or self._stopped)
            if self._stopped:
                raise DeviceError(f"{self._wl.what} failed to begin a picture", "was its screen switched off?")
        except DeviceError:
            self._end()
            raise
        # One that we cannot read is named in the error of whoever checks it.
        chosen = next((f for f in self._formats if f in FORMATS), self._formats[0] if self._formats else -1)
        return PixelOffer(chosen, *self._size, self._size[0] * 4)

    def take(self, buffer: int) -> None:
        wl = self._wl
        self._ready, self._failure = False, None
        frame = wl.new(self._on_frame)
        wl.send(self._session, 0, struct.pack("=I", frame))
        wl.send(frame, 1, struct.pack("=I", buffer))
        wl.send(frame, 2, struct.pack("=iiii", 0, 0, *self._size))
        wl.send(frame, 3)
        try:
            wl.wait(lambda: self._ready or self._failure is not None)
        finally:
            wl.send(frame, 0)
            wl.forget(frame)
            self._end()
        if self._failure is not None:
            why = self._REASONS.get(self._failure, "it does not say why")
            raise DeviceError(f"{wl.what} failed to give its picture: {why}")

    def _end(self) -> None:
        self._wl.send(self._session, 1)
        self._wl.forget(self._session)

    def _on_session(self, opcode: int, body: bytes) -> None:
        if opcode == self._SIZE:
            width, height = struct.unpack_from("=II", body)
            self._size = (width, height)
        elif opcode == self._FORMAT:
            self._formats.append(struct.unpack_from("=I", body)[0])
        elif opcode == self._DONE:
            self._done = True
        elif opcode == self._STOPPED:
            self._stopped = True

    def _on_frame(self, opcode: int, body: bytes) -> None:
        if opcode == self._READY:
            self._ready = True
        elif opcode == self._FAILED:
            (self._failure,) = struct.unpack_from("=I", body)
