"""When the pictures of a file are shown, where its container does not say, or says it twice.

A raw H.264, HEVC or MJPEG stream has pictures and no times: they are numbered, and the rate is that of the stream's
parameter sets. A transport stream that a recorder began again starts its clock anew: it is counted on. What had to be
assumed or mended stands in `notes`, for people.
"""

from __future__ import annotations

import stat
from fractions import Fraction
from pathlib import Path
from typing import Any

#: libavformat/avformat.h: the format has no times; the format's clock may jump.
_NO_TIMES, _MAY_JUMP = 0x0080, 0x0200
#: seconds by which a clock may go back (reordering, jitter) or ahead (a slow camera) without having begun again.
_BACK, _AHEAD = Fraction(1), Fraction(60)
#: pictures a second of a stream that says nothing at all.
ASSUMED = Fraction(25)


class Timeline:
    """The time line of one open container. rate: pictures a second that the caller knows, for a stream without."""

    def __init__(self, container: Any, stream: Any, name: str, rate: Fraction | None = None) -> None:
        self._stream, self._name = stream, name
        kind = container.format
        #: pictures are numbered: only reading from the start tells when one is shown.
        self.numbered = bool(kind.flags & _NO_TIMES) or kind.name.endswith("_pipe")
        self.may_jump = bool(kind.flags & _MAY_JUMP)
        self.notes: list[str] = []
        said = Fraction(stream.codec_context.framerate or 0) if self.numbered else Fraction(0)
        usual = Fraction(stream.average_rate or stream.guessed_rate or ASSUMED)
        self._assumed = self.numbered and not rate and not said
        #: seconds from one numbered picture to the next.
        self.step = 1 / (rate or said or (ASSUMED if self.numbered else usual))
        self.restart()

    def restart(self) -> None:
        """The container is read from another place."""
        self._shift = Fraction(0)
        self._first: Fraction | None = None
        self._last: Fraction | None = None
        self._long = Fraction(0)

    def place(self, packet: Any) -> bool:
        """Put a packet's times on the one line, before it is decoded; True where the clock began again."""
        if not self.may_jump or packet.dts is None:
            return False
        base = packet.time_base
        at = packet.dts * base + self._shift
        jumped = self._last is not None and not self._last - _BACK <= at <= self._last + _AHEAD
        if jumped:
            assert self._last is not None
            follows = self._last + (self._long or self.step)
            self._shift += follows - at
            at = follows
            after = float(follows - (self._first or 0))
            self._tell(f"{self._name}: its clock begins again after {after:.1f} s; the times are counted on")
        self._long = Fraction(packet.duration or 0) * base
        self._first = at if self._first is None else self._first
        self._last = at
        if self._shift:
            ticks = round(self._shift / base)
            packet.dts += ticks
            if packet.pts is not None:
                packet.pts += ticks
        return jumped

    def ends_early(self, last: Fraction, end: Fraction | None) -> None:
        """Nothing follows the picture at `last`, and the file says that it goes on to `end`."""
        if end is not None:
            said = f"{self._name} says that it ends at {float(end):.1f} s"
            self._tell(f"{said}; its last picture is at {float(last):.1f} s, and is given for the rest")

    def second_picture(self) -> None:
        """There is more than one: now an assumed rate matters."""
        if self._assumed:
            self._tell(
                f"{self._name} does not say how fast it was recorded: {float(ASSUMED):g} pictures a second are"
                " assumed (--rate says another)"
            )

    def _tell(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def size_of(path: str) -> int | None:
    """Bytes of a plain file; None for a pipe, a terminal, and what is not there, which opening it will tell."""
    try:
        about = Path(path).stat()
    except (OSError, ValueError):
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None
