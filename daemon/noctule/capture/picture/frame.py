"""One picture that a source really delivered, in the source's own layout: data. What is made of it
(colour, picture files) is made elsewhere: colour.py, encode.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from noctule.capture.picture.layout import FORMATS, Bytes2D, PixelFormat, plane_shapes

Picture = npt.NDArray[np.uint8]
Luma = npt.NDArray[np.float32]

#: colour matrices by name, with the number in the ring's slot header
MATRICES = {"rgb": 0, "bt601": 1, "bt709": 2, "bt2020": 3}
#: flags with their bit in the ring's slot header
FLAGS = {"corrupt": 1, "key": 2, "interlaced": 4, "masked": 8}


@dataclass(frozen=True)
class Origin:
    """FFmpeg's frame and the views of it that a Frame was made with."""

    frame: Any
    planes: tuple[Bytes2D, ...]


@dataclass(frozen=True)
class Frame:
    """A picture and what is known of it.

    source: the source's name; seq: counts the source's frames from 0; width, height: of the pixels as stored, before
    `rotation`; pix_fmt: FFmpeg's name; planes: uint8 [rows, bytes per row] each, unpadded; pts: presentation time in
    seconds, exact, on the source's own time line; captured: CLOCK_MONOTONIC seconds of the first pixel (for a file:
    when it was decoded); matrix: how YUV was made from RGB; full_range: YUV uses 0-255, not 16-235; rotation:
    degrees clockwise (0, 90, 180, 270) that make the picture upright, applied by every view below; flags: any of
    FLAGS.
    """

    source: str
    seq: int
    width: int
    height: int
    pix_fmt: str
    planes: tuple[Bytes2D, ...]
    pts: Fraction
    captured: float
    matrix: str = "bt601"
    full_range: bool = False
    rotation: int = 0
    flags: frozenset[str] = field(default_factory=frozenset)
    #: FFmpeg's frame when `planes` are views of it (it lives as long as they do): see `lent`
    origin: Origin | None = field(default=None, compare=False, repr=False)
    #: float32 [36, 64], the brightness in small where the device made it (a Raspberry Pi camera's second stream)
    look: Luma | None = field(default=None, compare=False, repr=False)

    @property
    def format(self) -> PixelFormat:
        return FORMATS[self.pix_fmt]

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after rotation."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    @property
    def lent(self) -> Any:
        """FFmpeg's frame with exactly these pixels; None after `replace(frame, planes=…)`: it is another picture."""
        return self.origin.frame if self.origin is not None and self.origin.planes is self.planes else None

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the pixels go along, FFmpeg's frame cannot."""
        return {**self.__dict__, "origin": None}

    def luma(self) -> Picture:
        """uint8 [height, width] brightness, upright: the Y plane as stored, or (r + 2 g + b) / 4 of RGB."""
        order = self.format.rgb
        if order is not None:
            pixels = self.planes[0].reshape(self.height, self.width, -1)
            red, green, blue = (pixels[..., i].astype(np.uint16) for i in order)
            return self.upright(((red + 2 * green + blue) >> 2).astype(np.uint8))
        return self.upright(self._stored_luma())

    def small_luma(self, width: int = 64, height: int = 36) -> npt.NDArray[np.float32]:
        """float32 [height, width] of block-mean brightness, *not* rotated: the cheap fingerprint that scene and
        motion detection compare. Samples at most 4 x 4 pixels a block, so its cost does not grow with the picture."""
        if self.look is not None and self.look.shape == (height, width):
            return self.look
        plane = (
            self.planes[0].reshape(self.height, self.width, -1)[..., 1] if self.format.rgb else self._stored_luma()
        )
        rows = np.arange(height * 4) * self.height // (height * 4)
        columns = np.arange(width * 4) * self.width // (width * 4)
        samples = plane[rows][:, columns].astype(np.float32)
        return np.asarray(samples.reshape(height, 4, width, 4).mean(axis=(1, 3)), dtype=np.float32)

    def with_flags(self, flags: Iterable[str]) -> Frame:
        """The same picture with more flags."""
        return replace(self, flags=self.flags | frozenset(flags))

    def _stored_luma(self) -> Picture:
        if self.pix_fmt == "yuyv422":
            return self.planes[0][:, : self.width * 2 : 2]
        return self.planes[0][:, : self.width]

    def upright(self, picture: Picture) -> Picture:
        """A view of [rows, columns, ...] as stored, turned by `rotation`."""
        return np.rot90(picture, -(self.rotation // 90)) if self.rotation else picture


def make_frame(
    source: str,
    seq: int,
    pix_fmt: str,
    width: int,
    height: int,
    planes: Iterable[npt.NDArray[np.uint8]],
    **about: object,
) -> Frame:
    """A frame whose planes are checked against its format and size. Keyword arguments: the rest of Frame's fields."""
    arrays = tuple(planes)
    wanted = plane_shapes(FORMATS[pix_fmt], width, height)
    if [a.shape for a in arrays] != wanted:
        raise ValueError(
            f"planes {[a.shape for a in arrays]} do not make a {width}x{height} {pix_fmt} picture {wanted}"
        )
    return Frame(source, seq, width, height, pix_fmt, arrays, **about)  # type: ignore[arg-type]
