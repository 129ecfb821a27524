"""Compressed video for clips: made where a source has none (`PacketEncoder`), written as it is (`ClipWriter`)."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.codec
import av.packet

from noctule.capture.picture.colour import to_av, yuv420_of
from noctule.capture.picture.frame import Frame
from noctule.capture.protocols.ffmpeg import explained
from noctule.capture.sources.base import Packet, RawPicture, StreamInfo
from noctule.core.errors import UnavailableError

_MICRO = Fraction(1, 1_000_000)
#: codec -> FFmpeg's name of its elementary stream, which tells a file's header what its packets are
_RAW_FORMATS = {"h264": "h264", "hevc": "hevc", "mjpeg": "mjpeg", "av1": "obu"}


class PacketEncoder:
    """H.264 of a source's pictures: libx264's fastest preset, no reordering, a key frame a second."""

    def __init__(self, first: RawPicture, fps: float) -> None:
        rate = Fraction(round((fps or 30) * 1000), 1000)
        try:
            context: Any = av.codec.CodecContext.create("libx264", "w")
        except (av.error.FFmpegError, ValueError):
            raise UnavailableError("this build of FFmpeg has no H.264 encoder, so clips cannot be made") from None
        self.width, self.height = first.width & ~1, first.height & ~1
        context.width, context.height = self.width, self.height
        context.pix_fmt, context.time_base, context.framerate = "yuv420p", _MICRO, rate
        context.gop_size = max(1, round(rate))
        context.thread_count = 1
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26"}
        with explained("the clip encoder", device=True):
            context.open()
        self._context = context
        self._rotation = first.rotation
        self._last = -1

    def stream(self) -> StreamInfo:
        return StreamInfo("h264", self.width, self.height, _MICRO, self._rotation)

    def encode(self, picture: RawPicture) -> list[Packet]:
        """Packets of one picture; [] for one that is not later than the last, or of another size."""
        pts = round(picture.pts * 1_000_000)
        if pts <= self._last or (picture.width & ~1, picture.height & ~1) != (self.width, self.height):
            return []
        self._last = pts
        frame = Frame(
            "",
            0,
            picture.width,
            picture.height,
            picture.pix_fmt,
            tuple(picture.planes),
            picture.pts,
            picture.captured,
            picture.matrix,
            picture.full_range,
        )
        made = yuv420_of(to_av(frame), frame, self.width, self.height)
        made.pts, made.time_base = pts, _MICRO
        with explained("the clip encoder", device=True):
            packets = self._context.encode(made)
        return [
            Packet(bytes(p), p.pts, p.dts if p.dts is not None else p.pts, p.duration or 0, p.is_keyframe)
            for p in packets
        ]


class ClipWriter:
    """Writes packets, the first a key frame, to `path` as MP4 without decoding them. Times in the file start at 0.

    The caller makes the file appear atomically (files.atomic_file). Raises DeviceError in words.
    """

    def __init__(self, path: Path, stream: StreamInfo) -> None:
        self._path, self._stream = path, stream
        self._what = f"the clip {path.name}"
        self._out: Any = None
        self._track: Any = None
        self._zero = self._end = self._begin = self._last = 0
        self.packets = 0

    def _begin_with(self, packet: Packet) -> None:
        """Open the file for a stream that begins with this key frame, whose data holds the decoder's parameters."""
        stream = self._stream
        self._out = av.open(str(self._path), "w", format="mp4")
        raw = _RAW_FORMATS.get(stream.codec)
        if raw is None:
            self._track = self._out.add_mux_stream(stream.codec, width=stream.width, height=stream.height)
        else:
            with av.open(io.BytesIO(packet.data), format=raw) as template:
                self._track = self._out.add_stream_from_template(template.streams.video[0], opaque=True)
        self._track.time_base = stream.time_base
        if stream.rotation and hasattr(self._track, "set_display_rotation"):
            self._track.set_display_rotation(-stream.rotation)

    def add(self, packet: Packet) -> None:
        if self._out is None:
            if not packet.key:
                return
            with explained(self._what, device=True):
                self._begin_with(packet)
            self._zero, self._begin = packet.dts, packet.pts
        elif packet.dts <= self._last:
            return  # a source that stutters; a file's packets must advance
        self._last = packet.dts
        made = av.packet.Packet(packet.data)
        made.stream, made.time_base = self._track, self._stream.time_base
        made.pts, made.dts, made.is_keyframe = packet.pts - self._zero, packet.dts - self._zero, packet.key
        if packet.duration:
            made.duration = packet.duration
        with explained(self._what, device=True):
            self._out.mux_one(made)
        self.packets += 1
        self._end = max(self._end, packet.pts + packet.duration)

    @property
    def seconds(self) -> float:
        """What has been written so far."""
        return float((self._end - self._begin) * self._stream.time_base) if self.packets else 0.0

    def close(self) -> None:
        if self._out is not None:
            with explained(self._what, device=True):
                self._out.close()
