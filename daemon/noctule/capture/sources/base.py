"""What a source is: something that opens, delivers real pictures, and closes. It may block; it lives in a child."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


@dataclass
class RawPicture:
    """One picture as delivered; the fields are Frame's. Planes may be lent: they are valid until the next read.

    fill: instead of planes, for devices that write into the ring themselves: `fill(memory, offset)` has them put the
    picture, unpadded, at `offset` bytes of the memory file, and raises NoctuleError when they did not.
    finish: `finish(planes)` paints what belongs into the picture and was not delivered with it, in place.
    """

    pix_fmt: str
    width: int
    height: int
    planes: Sequence[npt.NDArray[np.uint8]]
    pts: Fraction
    captured: float
    matrix: str = "bt601"
    full_range: bool = False
    rotation: int = 0
    flags: frozenset[str] = field(default_factory=frozenset)
    #: the same picture's brightness in small, uint8 [rows, columns], where the device makes one by itself
    small: npt.NDArray[np.uint8] | None = None
    fill: Callable[[int, int], None] | None = None
    finish: Callable[[Sequence[npt.NDArray[np.uint8]]], None] | None = None


@dataclass
class Packet:
    """Compressed video as it came from the source. Times are in the stream's time base."""

    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool


@dataclass
class StreamInfo:
    """How to write packets to a file: codec by FFmpeg's name, size, time base, rotation in degrees. A key frame's
    packet holds the decoder's parameters itself (for H.264 and HEVC: start codes and parameter sets)."""

    codec: str
    width: int
    height: int
    time_base: Fraction
    rotation: int = 0


@dataclass
class Delivery:
    """What one read brought: pictures, and the packet they came from where there is one. alive: when there is no
    picture, the source knows that none was due (a pause in a file), so that it does not count as stuck."""

    pictures: list[RawPicture] = field(default_factory=list)
    packet: Packet | None = None
    alive: bool = False


class Source(Protocol):
    """A device. `open` and `read` raise NoctuleError in words; `read` raises EOFError when there is no more."""

    def open(self) -> dict[str, Any]:
        """Start it; returns what it really is: width, height, fps, format, codec …"""

    def read(self) -> Delivery:
        """Wait for the next picture."""

    def stream(self) -> StreamInfo | None:
        """How its packets are to be written, or None when it has none."""

    def close(self) -> None:
        """Let the device go."""


@runtime_checkable
class OnDemand(Protocol):
    """A source that makes a picture when it is read: fewer reads are fewer pictures, none grows old in a queue."""

    on_demand: Literal[True]


@runtime_checkable
class Paced(Protocol):
    """A source that saves work when fewer pictures are wanted."""

    def pace(self, fps: float) -> None:
        """Deliver at most about `fps` pictures a second; 0 for all."""
