"""A picture of a file, decoded, and not copied before somebody wants it."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from noctule.capture.picture.colour import frame_of, planes_of, to_normal
from noctule.capture.picture.frame import Frame
from noctule.capture.picture.select import Luma


class Decoded:
    """A decoded picture that is copied and converted only when asked for. A `Look` (see select.py)."""

    def __init__(self, frame: Any, seq: int, pts: Fraction, name: str) -> None:
        self._frame, self.seq, self.pts, self._name = frame, seq, pts, name

    @property
    def flags(self) -> frozenset[str]:
        marks = {
            "corrupt": self._frame.is_corrupt,
            "key": self._frame.key_frame,
            "interlaced": self._frame.interlaced_frame,
        }
        return frozenset(name for name, on in marks.items() if on)

    def small_luma(self, width: int = 64, height: int = 36) -> Luma:
        pix_fmt, matrix, full, normal = to_normal(self._frame)
        lent = Frame(
            self._name,
            0,
            normal.width,
            normal.height,
            pix_fmt,
            tuple(planes_of(normal, pix_fmt)),
            self.pts,
            0.0,
            matrix,
            full,
        )
        return lent.small_luma(width, height)

    def frame(self) -> Frame:
        """With pixels of its own."""
        return frame_of(self._frame, self._name, self.seq, self.pts, time.monotonic())
