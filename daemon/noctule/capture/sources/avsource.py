"""A source behind FFmpeg: X11, the console, V4L2, streams. Each kind says how to open it; the rest is here."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import av.packet
from av.bitstream import BitStreamFilterContext

from noctule.capture.picture.colour import planes_of, rotation_of, to_normal
from noctule.capture.picture.layout import check_size
from noctule.capture.protocols.ffmpeg import MAX_BAD_PACKETS, decode_alone, decode_packet, explained, video_stream
from noctule.capture.sources.base import Delivery, Packet, RawPicture, StreamInfo
from noctule.capture.spec import CAMERAS, SourceSpec
from noctule.core.errors import DeviceError

#: a timestamp this far from now is on another clock.
_PLAUSIBLE = 5.0


class AvSource:
    """Demuxes and decodes. Subclasses give `what` (for messages) and `connect()`.

    clock: what the source's timestamps count: "wall", "monotonic", or "stream" (anything else).
    """

    clock = "stream"

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.what = spec.label or spec.kind
        self._container: Any = None
        self._stream: Any = None
        self._packets: Any = None
        #: the stream's own time that is 0 on ours; None before the first picture
        self._first: Fraction | None = None
        self._own_clock = False
        self._last = (Fraction(0), 0.0)  # pts given last, and when
        self._bad = 0
        self._lent: list[Any] = []
        self._filter: Any = None
        #: seconds between two pictures that are decoded, 0 for all; and when the last one was
        self._gap = self._decoded = 0.0

    def connect(self) -> Any:
        """The open container; raises in words."""
        raise DeviceError(f"{self.what} has no way to be opened")

    def open(self) -> dict[str, Any]:
        self._container = self.connect()
        self._stream = stream = video_stream(self._container, self.what, device=True)
        # FRAME threads add a frame of delay per core, SLICE threads hide that slices of a picture were missing
        decode_alone(stream)
        context = stream.codec_context
        check_size(context.width, context.height, self.what)
        self._packets = self._container.demux(stream)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        return {
            "width": context.width,
            "height": context.height,
            "fps": round(float(rate), 3) if rate else None,
            "format": context.pix_fmt,
            "codec": context.name,
        }

    def read(self) -> Delivery:
        with explained(self.what, device=True):
            packet = next(self._packets, None)
        if packet is None:
            raise EOFError
        now = time.monotonic()
        # a rate that was lowered leaves whole packets undecoded, where each is a picture by itself; one tick early
        # rather than late, for the camera's own beat goes on
        if self._gap and self._alone and now - self._decoded < self._gap * 0.9:
            return Delivery(packet=self._packet(packet), alive=True)
        self._decoded = now
        frames = decode_packet(packet, self._count_bad)
        self._bad = 0 if frames else self._bad
        self._lent = []
        pictures = [picture for frame in frames if (picture := self._picture(frame)) is not None]
        return Delivery(pictures, self._packet(packet))

    @property
    def _alone(self) -> bool:
        """Whether each packet can be decoded without the ones before it."""
        return self._stream.codec_context.name in ("mjpeg", "rawvideo", "wrapped_avframe", "bmp")

    def _count_bad(self) -> None:
        self._bad += 1
        if self._bad > MAX_BAD_PACKETS:
            raise DeviceError(f"{self.what} sends video that cannot be decoded")

    def _picture(self, frame: Any) -> RawPicture:
        check_size(frame.width, frame.height, self.what)
        raw = Fraction(frame.pts) * frame.time_base if frame.pts is not None else None
        now = time.monotonic()
        pts = self._on_time_line(raw, now)
        rotation = (rotation_of(frame) + self.spec.rotate) % 360
        names = {"corrupt": frame.is_corrupt, "key": frame.key_frame, "interlaced": frame.interlaced_frame}
        pix_fmt, matrix, full, normal = to_normal(frame, camera=self.spec.kind in CAMERAS)
        self._lent.append(normal)
        return RawPicture(
            pix_fmt,
            normal.width,
            normal.height,
            planes_of(normal, pix_fmt),
            pts,
            self._captured(float(raw), now) if raw is not None else now,
            matrix,
            full,
            rotation,
            frozenset(name for name, on in names.items() if on),
        )

    def _on_time_line(self, raw: Fraction | None, now: float) -> Fraction:
        """The picture's time from the first one's. One without a time of its own (the first ones of an RTSP stream)
        is timed by our clock, and the time line goes on where it was when the stream's own begins."""
        own = raw is None
        stamp = Fraction(round(now * 1e6), 10**6) if raw is None else raw
        if self._first is None:
            self._first = stamp
        elif own != self._own_clock:
            last, then = self._last
            self._first = stamp - last - Fraction(max(1, round((now - then) * 1e6)), 10**6)
        self._own_clock = own
        pts = stamp - self._first
        self._last = (pts, now)
        return pts

    def _captured(self, stamp: float, now: float) -> float:
        """CLOCK_MONOTONIC seconds of the first pixel, from the source's own timestamp where it has that meaning."""
        if self.clock == "wall":
            stamp -= time.time() - now
        return stamp if self.clock != "stream" and now - _PLAUSIBLE < stamp <= now else now

    def _packet(self, packet: Any) -> Packet | None:
        if packet.pts is None or self.stream() is None:
            return None
        whole = self._with_parameters(packet)
        dts = packet.pts if packet.dts is None else packet.dts
        return Packet(whole, packet.pts, dts, packet.duration or 0, packet.is_keyframe)

    def _with_parameters(self, packet: Any) -> bytes:
        """The packet's bytes with start codes, and with the parameter sets in key frames (see StreamInfo)."""
        context = self._stream.codec_context
        extradata = bytes(context.extradata or b"")
        name = context.codec.canonical_name
        if name not in ("h264", "hevc") or not extradata:
            return bytes(packet)
        if extradata[0] != 1:  # parameter sets with start codes, sent beside the stream (RTSP)
            return extradata + bytes(packet) if packet.is_keyframe else bytes(packet)
        if self._filter is None:
            self._filter = BitStreamFilterContext(f"{name}_mp4toannexb", self._stream)
        copy = av.packet.Packet(bytes(packet))
        copy.is_keyframe, copy.time_base = packet.is_keyframe, packet.time_base
        return b"".join(bytes(p) for p in self._filter.filter(copy))

    def stream(self) -> StreamInfo | None:
        context = self._stream.codec_context
        if context.name in ("rawvideo", "wrapped_avframe", "bmp"):
            return None
        return StreamInfo(
            context.codec.canonical_name, context.width, context.height, self._stream.time_base, self.spec.rotate
        )

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
