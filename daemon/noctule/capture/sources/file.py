"""A video file played as a camera: in a loop, at its own pace. For demos and tests."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from noctule.capture.protocols.ffmpeg import decode_alone, open_input, video_stream
from noctule.capture.sources.avsource import AvSource
from noctule.capture.sources.base import Delivery, RawPicture, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.core.errors import InputError

#: longest sleep before the loop hears from its owner again.
_NAP = 0.25


class FileSource(AvSource):
    """address: the path. Its pictures come when their time has come, counted from the first; the time line goes on
    growing when the file starts again."""

    def __init__(self, spec: SourceSpec) -> None:
        super().__init__(spec)
        self._start: float | None = None
        self._shift = Fraction(0)
        self._end = Fraction(0)
        self._step = Fraction(1, 25)
        self._waiting: list[RawPicture] = []

    def connect(self) -> Any:
        return open_input(self.spec.address, self.what, device=False)

    def open(self) -> dict[str, Any]:
        about = super().open()
        if self._stream.average_rate:
            self._step = 1 / Fraction(self._stream.average_rate)
        return about

    def read(self) -> Delivery:
        if not self._waiting:
            self._load()
        due = (self._start or 0.0) + float(self._waiting[0].pts)
        wait = due - time.monotonic()
        if wait > _NAP:
            time.sleep(_NAP)
            return Delivery(alive=True)
        if wait > 0:
            time.sleep(wait)
        picture = self._waiting.pop(0)
        picture.captured = time.monotonic()
        return Delivery([picture])

    def stream(self) -> StreamInfo | None:
        return None  # its packets come ahead of their time and start again: clips are made of the pictures

    def _load(self) -> None:
        """Decode until there is a picture; at the end start again."""
        rounds = 0
        while not self._waiting:
            try:
                delivery = super().read()
            except EOFError:
                rounds += 1
                if rounds > 1:
                    raise InputError(f"{self.what} has no pictures") from None
                self._again()
                continue
            for picture in delivery.pictures:
                picture.pts += self._shift
                self._end = max(self._end, picture.pts)
                self._waiting.append(picture)
        if self._start is None:
            self._start = time.monotonic() - float(self._waiting[0].pts)

    def _again(self) -> None:
        self._container.close()
        self._container = self.connect()
        self._stream = video_stream(self._container, self.what, device=True)
        decode_alone(self._stream)
        self._packets = self._container.demux(self._stream)
        self._first = None
        self._shift = self._end + self._step
