"""The capture process: opens one source, puts its pictures into a ring, and can be killed at any time.

Run as `python -m noctule.capture.process.child FD` by the feed, or under the system's Python where a camera library
lives only there; so nothing here imports more than the standard library, numpy and the source's own needs.

    open the source; say what it is
    while not told to stop:  delivery = source.read(); paint masks; write to the ring; announce; pass packets on
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noctule.capture.picture.layout import FORMATS, Bytes2D, copy_planes, picture_bytes
from noctule.capture.picture.look import look_of
from noctule.capture.picture.masks import paint
from noctule.capture.process import wire
from noctule.capture.process.discover import resolve
from noctule.capture.process.ring import RingWriter
from noctule.capture.sources.base import OnDemand, Paced, RawPicture, Source, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError, NoctuleError

if TYPE_CHECKING:
    from noctule.capture.process.packets import PacketEncoder

#: kind -> (module, class); imported only in the process that needs it.
SOURCES = {
    "x11": ("x11", "X11Source"),
    "wayland": ("wayland", "WaylandSource"),
    "file": ("file", "FileSource"),
    "network": ("network", "NetworkSource"),
    "v4l2": ("v4l2", "V4l2Source"),
    "kms": ("kms", "KmsSource"),
    "picamera2": ("picamera2", "Picamera2Source"),
    "jetson": ("jetson", "JetsonSource"),
}
#: no capture process may have more memory of its own than this (the ring is counted apart).
_MAX_DATA = 280 << 20
_PR_SET_PDEATHSIG = 1
#: seconds between attempts to reach a stream.
_RETRY = 1.0
#: longest nap between two pictures of a lowered rate, in seconds.
_PACE_NAP = 0.1


def make_source(spec: SourceSpec) -> Source:
    """The source object for a specification. DeviceError for a kind that cannot be captured by a child."""
    if spec.kind not in SOURCES:
        raise DeviceError(f'there is no kind of source named "{spec.kind}"')
    module, name = SOURCES[spec.kind]
    try:
        found = importlib.import_module(f"noctule.capture.sources.{module}")
    except ImportError as error:
        raise DeviceError(
            f"{spec.name} needs the Python module {error.name}, which is not installed", "see `noctule sources`"
        ) from None
    made: Source = getattr(found, name)(spec)
    return made


class CaptureLoop:
    """The loop of one capture process."""

    def __init__(self, sock: socket.socket, source: Source, spec: SourceSpec) -> None:
        self.sock, self.source, self.spec = sock, source, spec
        self.receiver = wire.Receiver(sock)
        self.ring: RingWriter | None = None
        self.want_packets = False
        self.stopping = False
        #: seconds between two pictures that are shown, 0 for as they come; and when the next one is due
        self._gap = self._next = 0.0
        #: announcements the owner had no room for; the pictures are in the ring all the same.
        self.unheard = 0
        self._described: StreamInfo | None = None
        self._encoder: PacketEncoder | None = None

    def run(self) -> None:
        """Until told to stop; raises NoctuleError, EOFError or wire.Closed."""
        about = self._open()
        if about is None:
            return
        try:
            wire.send(self.sock, {"t": "opened", "about": about})
            while not self.stopping:
                self._listen()
                if isinstance(self.source, OnDemand) and self._early():
                    continue
                delivery = self.source.read()
                shown = [picture for picture in delivery.pictures if self._due()]
                if delivery.alive or (delivery.pictures and not shown):
                    wire.send(self.sock, {"t": "beat"})
                for picture in shown:
                    self._show(picture)
                if self.want_packets and delivery.packet is not None and not self.spec.masks:
                    self._pass_on(self.source.stream(), [delivery.packet])
        finally:
            self.source.close()

    def _open(self) -> dict[str, Any] | None:
        """What the opened source is. A stream that is not there is tried again from here, which is cheaper than a
        new process each time; the owner is told why. None when told to stop."""
        while not self.stopping:
            try:
                return self.source.open()
            except DeviceError as error:
                if self.spec.kind != "network":
                    raise
                wire.send(
                    self.sock, {"t": "trouble", "message": error.message, "hint": error.hint, "code": error.code}
                )
            self._listen(_RETRY)
        return None

    def _listen(self, timeout: float = 0) -> None:
        while (got := self.receiver.get(timeout)) is not None:
            message, timeout = got[0], 0
            if message["t"] == "stop":
                self.stopping = True
            elif message["t"] == "packets" and message["on"] != self.want_packets:
                self.want_packets = bool(message["on"])
                self._described = None
                self._encoder = None
            elif message["t"] == "pace":
                self._pace(float(message["fps"]))

    def _pace(self, fps: float) -> None:
        """Show at most `fps` pictures a second; 0 for all."""
        gap = 1 / fps if fps > 0 else 0.0
        if gap == self._gap:
            return
        self._gap, self._next = gap, 0.0
        if isinstance(self.source, Paced):
            self.source.pace(fps)

    def _early(self) -> bool:
        """Nap, in short pieces that keep the owner informed, while the next picture is not due."""
        left = self._next - time.monotonic() if self._gap else 0.0
        if left <= 0:
            return False
        time.sleep(min(left, _PACE_NAP))
        wire.send(self.sock, {"t": "beat"})
        return True

    def _due(self) -> bool:
        """Whether a picture that came is to be shown."""
        now = time.monotonic()
        if self._gap and now < self._next and not isinstance(self.source, Paced):
            return False
        self._next = max(self._next + self._gap, now)
        return True

    def _show(self, picture: RawPicture) -> None:
        size = picture_bytes(FORMATS[picture.pix_fmt], picture.width, picture.height)
        if self.ring is None or self.ring.payload < size:
            self._new_ring(size)
        ring, masks = self.ring, self.spec.masks
        assert ring is not None

        def fill(planes: Sequence[Bytes2D], offset: int) -> None:
            if picture.fill is not None:
                picture.fill(ring.fd, offset)
            else:
                copy_planes(picture.planes, planes)
            if picture.finish is not None:
                picture.finish(planes)
            if masks:
                paint(planes, picture.pix_fmt, picture.width, picture.height, picture.rotation, masks)

        number = ring.write(
            picture.pix_fmt,
            picture.width,
            picture.height,
            fill,
            picture.pts,
            picture.captured,
            matrix=picture.matrix,
            full_range=picture.full_range,
            rotation=picture.rotation,
            flags=picture.flags | {"masked"} if masks else picture.flags,
        )
        message: dict[str, Any] = {"t": "frame", "n": number}
        if picture.small is not None:
            message["look"] = look_of(picture.small, picture.rotation, masks)
        if not wire.send(self.sock, message):
            self.unheard += 1
        if self.want_packets and (masks or self.source.stream() is None):
            # What is encoded is what was shown: with its masks.
            picture.planes = ring.planes(number, picture.pix_fmt, picture.width, picture.height)
            self._encode(picture)

    def _new_ring(self, payload: int) -> None:
        if self.ring is not None:
            self.ring.close()
        self.ring = RingWriter(payload)
        self.sock.settimeout(1.0)
        if not wire.send(self.sock, {"t": "ring", "slots": self.ring.slots, "payload": payload}, self.ring.fd):
            raise wire.Closed("the owner does not listen")

    def _encode(self, picture: RawPicture) -> None:
        """Make packets of a picture whose source has none of its own (or where masks must be in them)."""
        if self._encoder is None:
            from noctule.capture.process.packets import PacketEncoder

            self._encoder = PacketEncoder(picture, self.spec.fps)
        packets = self._encoder.encode(picture)
        if packets:
            self._pass_on(self._encoder.stream(), packets)

    def _pass_on(self, stream: StreamInfo | None, packets: Sequence[Any]) -> None:
        if stream is None:
            return
        self.sock.settimeout(0.05)  # a slow owner costs a packet, not the capture
        if self._described != stream:
            self._described = stream
            wire.send(
                self.sock,
                {
                    "t": "stream",
                    "codec": stream.codec,
                    "width": stream.width,
                    "height": stream.height,
                    "rotation": stream.rotation,
                    "time_base": [stream.time_base.numerator, stream.time_base.denominator],
                },
            )
        now = time.monotonic()
        for packet in packets:
            about = {"pts": packet.pts, "dts": packet.dts, "duration": packet.duration, "key": packet.key, "at": now}
            wire.send_packet(self.sock, about, packet.data)


def serve(sock: socket.socket, kinds: Sequence[str] = ()) -> int:
    """Wait for `open`, run, and say how it ended. Returns an exit status. kinds: all that may be asked for, if given
    (a process in somebody's session must not open that person's files for the service)."""
    try:
        got = wire.Receiver(sock).get(10.0)
        if got is None or got[0]["t"] != "open":
            return 2
        spec = SourceSpec.from_json(got[0]["spec"])
        try:
            if kinds and spec.kind not in kinds:
                raise DeviceError(f"this process shows displays only, not {spec.kind}")
            spec = resolve(spec)
            source = make_source(spec)
            wire.send(sock, {"t": "beat"})  # the libraries are loaded, which takes seconds on a busy board
            CaptureLoop(sock, source, spec).run()
            wire.send(sock, {"t": "ended"})
        except EOFError:
            wire.send(sock, {"t": "error", "message": f"{spec.name} ended", "hint": "", "code": "device"})
        except NoctuleError as error:
            wire.send(sock, {"t": "error", "message": error.message, "hint": error.hint, "code": error.code})
        except MemoryError:
            message = f"{spec.name} needs more memory than a capture process may have"
            wire.send(sock, {"t": "error", "message": message, "hint": "", "code": "too-large"})
    except wire.Closed:
        return 0
    return 0


def confine() -> None:
    """Die with the owner; bounded memory, and first to go when it runs out; no core files (they would hold pictures);
    Ctrl-C is the owner's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MAX_DATA, _MAX_DATA))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def main() -> None:
    confine()
    owner = int(sys.argv[2])
    if os.getppid() != owner:  # it died before we asked to die with it
        os._exit(0)
    kinds = sys.argv[3].split(",") if len(sys.argv) > 3 else []
    status = serve(socket.socket(fileno=int(sys.argv[1])), kinds)
    sys.stderr.flush()
    os._exit(status)  # capture libraries may crash or hang while the interpreter takes itself apart


if __name__ == "__main__":
    main()
