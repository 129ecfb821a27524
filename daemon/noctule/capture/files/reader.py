"""Pictures of a video file, by time, exactly. The file is trusted with nothing: sizes and errors are bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np

from noctule.capture.files.decoded import Decoded
from noctule.capture.files.timeline import Timeline, size_of
from noctule.capture.picture.layout import check_size
from noctule.capture.picture.select import Pick, every, on_screen
from noctule.capture.protocols.ffmpeg import (
    MAX_BAD_PACKETS,
    decode_alone,
    decode_packet,
    explained,
    open_input,
    video_stream,
)
from noctule.core.errors import InputError

_AV_TIME = 1_000_000
#: without an index, a jump over less than this is decoded through rather than sought (seconds).
_SHORT_JUMP = 10
#: seconds that the last picture is given, whatever length a damaged head claims; and those that are not worth a word.
_STAYS, _SOON = 60, 2
#: seconds without data after which a file that is fed by another program, or a play list, counts as dead.
_SILENT = 30.0


class VideoFile:
    """An open video file. Times are seconds from its start, as players show them. Use as a context manager.

    Raises InputError for whatever is wrong with the file, on opening or when a picture is asked for.
    path: "-" is the standard input. rate: pictures a second of a raw stream that does not say.
    """

    def __init__(self, path: Path | str, rate: Fraction | None = None) -> None:
        self._path = "/dev/stdin" if str(path) == "-" else str(path)
        self.name = "the standard input" if self._path == "/dev/stdin" else self._path
        #: bytes there were at the opening: a file that still grows is read up to here. None for a pipe.
        self.size = size_of(self._path)
        self._open()
        self.timeline = Timeline(self._container, self._stream, self.name, rate)
        self._zero = self._start()
        #: how much of a file that does not say its length was read, 0 to 1.
        self.fraction = 0.0
        #: pictures can only be read one after the other, from the start, once.
        self.sequential = self.timeline.numbered or self.size is None
        if self.timeline.may_jump and not self.sequential:
            self.sequential = self._jumps()
        self._bad = 0
        #: packets that could not be decoded.
        self.bad_packets = 0
        self._seq = 0
        self._untouched = True

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def _open(self) -> None:
        self._container = open_input(self._path, self.name, device=False, timeout=(_SILENT, _SILENT))
        try:
            self._stream = video_stream(self._container, self.name, device=False)
            decode_alone(self._stream)
            context = self._stream.codec_context
            check_size(context.width, context.height, self.name)
        except BaseException:
            self._container.close()
            raise

    def _jumps(self) -> bool:
        """Whether the clock begins again within the file; then no jump within it lands where it should."""
        packets = self._container.demux(self._stream)
        found = False
        with explained(self.name, device=False):
            for packet in packets:
                if found := self.timeline.place(packet):
                    break
        self._again()
        return found

    @property
    def duration(self) -> Fraction | None:
        """Seconds, where the file says so, and says it of all of itself."""
        if self.sequential:
            return None
        stream = self._stream
        if stream.duration:
            begins = Fraction(stream.start_time or 0) * stream.time_base - self._zero
            return Fraction(Fraction(stream.duration) * stream.time_base + begins)
        return Fraction(self._container.duration, _AV_TIME) if self._container.duration else None

    @property
    def about(self) -> dict[str, Any]:
        """For the index: codec, size as stored, rate, duration."""
        context, rate = self._stream.codec_context, self._stream.average_rate
        return {
            "codec": context.name,
            "width": context.width,
            "height": context.height,
            "format": context.pix_fmt,
            "fps": round(float(rate), 3) if rate else None,
            "duration": float(self.duration) if self.duration is not None else None,
        }

    def pictures(self) -> Iterator[Decoded]:
        """Every picture from the start, in order."""
        self._seek_start()
        yield from self._decode()

    def key_pictures(self) -> Iterator[Decoded]:
        """Only the pictures that stand for themselves; the others are not decoded."""
        self._seek_start()
        yield from (p for p in self._decode(keys_only=True) if "key" in p.flags)

    def at(self, times: Iterable[Fraction], reason: str = "at") -> Iterator[Pick[Decoded]]:
        """The picture on screen at each of `times` (ascending seconds, >= 0), each exactly; `picture` is None where
        none was on screen yet. Seeks when a key frame lies between, else decodes on. InputError for a time after
        the end."""
        if self.sequential:
            yield from self._in_order(times)
            return
        end = self.duration
        pictures: Iterator[Decoded] = iter(())
        held: Decoded | None = None
        following: Decoded | None = None
        begun = over = False
        for wanted in times:
            if end is not None and wanted > end:
                raise InputError(f"{self.name} ends at {float(end):.3f} s, before {float(wanted):.3f} s")
            if following is not None and wanted < following.pts:
                yield Pick(held, reason, wanted)
                continue
            here = following or held
            if over and held is not None and wanted > held.pts + _SOON:
                self.timeline.ends_early(held.pts, end)
                if reason == "every" and wanted > held.pts + _STAYS:
                    return
            if not begun or (not over and here is not None and self._worth_seeking(here.pts, wanted)):
                pictures, begun = self._from(wanted), True
                held = following = None
            if following is not None:
                held, following = following, None
            for picture in pictures:
                if picture.pts > wanted:
                    following = picture
                    break
                held = picture
            over = following is None
            yield Pick(held, reason, wanted)

    def _in_order(self, times: Iterable[Fraction]) -> Iterator[Pick[Decoded]]:
        """`at` where nothing can be sought."""
        last: Decoded | None = None
        over = False

        def watched() -> Iterator[Decoded]:
            nonlocal last, over
            for picture in self.pictures():
                last = picture
                yield picture
            over = True

        for pick in on_screen(watched(), times):
            if over and last is not None and pick.time is not None and pick.time >= last.pts + self.timeline.step:
                end = float(last.pts + self.timeline.step)
                holds = f"ends at {end:.3f} s" if last.seq else "holds one picture"
                raise InputError(f"{self.name} {holds}; there is none at {float(pick.time):.3f} s")
            yield pick

    def _worth_seeking(self, here: Fraction, wanted: Fraction) -> bool:
        key = self._key_before(wanted)
        return wanted - here > _SHORT_JUMP if key is None else key > here

    def _key_before(self, wanted: Fraction) -> Fraction | None:
        """Time of the last key frame at or before `wanted`, where the container has an index."""
        entries = getattr(self._stream, "index_entries", None)
        if entries is None or not len(entries):
            return None
        place = entries.search_timestamp(self._ticks(wanted), backward=True, any_frame=False)
        return Fraction(entries[place].timestamp) * self._stream.time_base - self._zero if place >= 0 else None

    def _ticks(self, wanted: Fraction) -> int:
        return int((wanted + self._zero) / self._stream.time_base)

    def _from(self, wanted: Fraction) -> Iterator[Decoded]:
        """Pictures from one at or before `wanted` on. Containers seek by decoding time and key frames may be shown
        later than `wanted`, so look, and step further back where it is so."""
        for back in (0, 1, 4, 16, 64):
            target = wanted - back
            if target <= 0:
                break
            try:
                self._container.seek(self._ticks(target), stream=self._stream, backward=True)
            except (av.error.FFmpegError, OSError):
                break
            pictures = self._decode()
            first = next(pictures, None)
            if first is not None and first.pts <= wanted:
                return itertools.chain([first], pictures)
        return self.pictures()

    def _seek_start(self) -> None:
        """To the first picture; a file that cannot seek is opened anew."""
        self._seq = 0
        if self._untouched:
            return
        if self.sequential:
            self._again()
            return
        try:
            # Well before the start: transport streams land on the second key frame when asked for the first's time.
            self._container.seek(self._ticks(Fraction(-_SHORT_JUMP)), stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError):
            self._again()

    def _again(self) -> None:
        self._container.close()
        self._open()
        self._untouched = True
        self.timeline.restart()

    def _decode(self, keys_only: bool = False) -> Iterator[Decoded]:
        self._untouched = False
        packets = self._container.demux(self._stream)
        line, step = self.timeline, self.timeline.step
        keys_only = keys_only and not line.numbered  # pictures must be counted
        last: Fraction | None = None
        self._bad, given = 0, 0
        while True:
            with explained(self.name, device=False, url=self._path if self.size is None else ""):
                packet = next(packets, None)
            if packet is None or self._beyond(packet):
                break
            if self.sequential:
                line.place(packet)
            if keys_only and packet.size and not packet.is_keyframe:
                continue
            for frame in decode_packet(packet, self._count_bad):
                self._bad = 0
                if frame.pts is not None and not line.numbered:
                    pts = Fraction(frame.pts) * self._stream.time_base - self._zero
                else:  # AVI and raw streams number their pictures only by order
                    pts = last + step if last is not None else Fraction(0)
                last = pts
                given += 1
                if given == 2:
                    line.second_picture()
                self._seq += 1
                yield Decoded(frame, self._seq - 1, pts, self.name)
        if not given and self.bad_packets:
            raise InputError(f"{self.name} is damaged: none of its pictures can be decoded")

    def _beyond(self, packet: Any) -> bool:
        """Whether a packet was written after the file was opened."""
        if self.size and packet.pos is not None and packet.pos >= 0:
            self.fraction = min(1.0, packet.pos / self.size)
            if packet.pos >= self.size:
                self.timeline.notes.append(f"{self.name} still grows: what came after the opening is left out")
                return True
        return False

    def _count_bad(self) -> None:
        self._bad += 1
        self.bad_packets += 1
        if self._bad > MAX_BAD_PACKETS:
            raise InputError(f"{self.name} is damaged: {self._bad} packets in a row cannot be decoded")

    def _start(self) -> Fraction:
        """Where the file's time line begins, exact where the video itself begins it."""
        container = Fraction(self._container.start_time or 0, _AV_TIME)
        if self._stream.start_time is None:
            return container
        video = Fraction(self._stream.start_time) * self._stream.time_base
        return video if abs(video - container) <= Fraction(2, _AV_TIME) else container


def every_in_file(file: VideoFile, step: Fraction) -> Iterator[Pick[Decoded]]:
    """The picture on screen every `step` seconds: 0, step, 2 step … up to the last picture."""
    end = file.duration
    if end is None:
        yield from every(file.pictures(), step, Fraction(0))
        return
    count = int(np.ceil(float(end / step) - 1e-9))
    yield from file.at((step * i for i in range(max(1, count))), "every")
