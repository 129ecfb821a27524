"""One life of a capture process, as its owner sees it: what it announces, and how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

from noctule.capture.picture.frame import Luma
from noctule.capture.picture.look import look_from
from noctule.capture.process import wire
from noctule.capture.process.door import HelperProcess
from noctule.capture.process.preroll import TimedPacket
from noctule.capture.process.process import CaptureProcess
from noctule.capture.process.ring import RingReader
from noctule.capture.sources.base import Packet, StreamInfo
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError, NoctuleError, UnavailableError

#: a process that was too slow to its first frame gets twice the time at its next attempt, up to this many seconds:
#: killing it and starting again would only make a busy board busier.
OPEN_LONGEST = 30.0
#: the same for one that paused so soon after its first frame: a board that is too busy is likelier than a device that
#: hangs. The pause that the next one may make is twice as long, up to this many seconds.
YOUNG, STALL_LONGEST = 5.0, 8.0
#: seconds that one look at the socket may take.
_TICK = 0.1


@dataclass(frozen=True)
class Patience:
    """Seconds. stall: without a frame before a live source counts as stuck; start: until its process has loaded its
    libraries and says so; open: from then to the first frame; linger: open without a viewer; backoff_max: longest
    pause between attempts; look: between looks for something missing."""

    stall: float = 1.0
    open: float = 6.0
    linger: float = 5.0
    backoff: float = 0.25
    backoff_max: float = 5.0
    look: float = 0.25
    start: float = 30.0

    def longer(self) -> Patience:
        """For the next attempt after one that was too slow."""
        return replace(
            self,
            open=min(self.open * 2, max(OPEN_LONGEST, self.open)),
            stall=min(self.stall * 2, max(STALL_LONGEST, self.stall)),
        )

    @classmethod
    def of(cls, spec: SourceSpec, stall: float = 1.0, linger: float = 5.0) -> Patience:
        """Network streams get more time: they wait for a key frame, and links hiccup."""
        stall = max(stall, 4.0 / spec.fps) if spec.fps else stall
        if spec.kind == "network":
            return cls(max(stall, 3.0), 15.0, linger, 0.5, 30.0, 1.0)
        return cls(stall, 6.0, linger)


class Owner(Protocol):
    """Who hears what a session brings; called in the session's thread."""

    def opened(self, about: dict[str, Any]) -> None:
        """The source is open; what it really is."""

    def arrived(self, ring: RingReader, number: int, now: float, look: Luma | None) -> None:
        """A whole frame lies in the ring. look: its small brightness, where the device gives one."""

    def troubled(self, error: NoctuleError) -> None:
        """The process cannot reach the source and goes on trying."""

    def described(self, stream: StreamInfo) -> None:
        """Packets of this stream follow."""

    def packet(self, timed: TimedPacket) -> None:
        """Compressed video came."""


class ProcessLife:
    """Relays what `process` says to `owner`."""

    def __init__(self, process: CaptureProcess | HelperProcess, owner: Owner, patience: Patience) -> None:
        self.process, self._owner, self._patience = process, owner, patience
        self._ring: RingReader | None = None
        #: frames came.
        self.live = False
        self._spoke: float | None = None
        #: it ended because the process said nothing for too long, before its first frame or soon after it.
        self.slow = False

    @property
    def began(self) -> float:
        """When the process had loaded what it needs, and the device's own time began; now, while it still loads."""
        return time.monotonic() if self._spoke is None else self._spoke

    def run(self, go_on: Callable[[], bool]) -> NoctuleError | None:
        """Until `go_on()` says no (then None) or the process ends, fails or stalls (then why)."""
        receiver = wire.Receiver(self.process.sock)
        # until it says its first word no device is involved: only a busy board or disk
        first: float | None = None
        alive_at, limit = time.monotonic(), max(self._patience.start, self._patience.open)
        while go_on():
            try:
                got = receiver.get(_TICK)
            except wire.Closed:
                return DeviceError(f"its capture process ended ({self.process.last_words()})")
            now = time.monotonic()
            if got is None:
                if now - alive_at > limit:
                    self.slow = not self.live or (first is not None and alive_at - first < YOUNG)
                    if self._spoke is None:
                        return DeviceError(
                            f"its capture process did not start in {limit:g} s", "the board is too busy"
                        )
                    return DeviceError(f"no picture came for {limit:g} s", "the device or its driver is stuck")
                continue
            message, fd, data = got
            if message["t"] == "error":
                return error_of(message)
            if self._spoke is None:
                self._spoke = alive_at = now
                limit = self._patience.open
            if message["t"] in ("frame", "beat", "trouble"):
                alive_at = now
            try:
                self._hear(message, fd, data, now)
            except NoctuleError as error:
                return error
            except (KeyError, TypeError, ValueError):
                return DeviceError("its capture process does not speak the protocol")
            if self.live:
                first, limit = first or now, self._patience.stall
        return None

    def _hear(self, message: dict[str, Any], fd: int | None, data: bytes, now: float) -> None:
        kind = message["t"]
        if kind == "frame" and self._ring is not None:
            self.live = True
            self._owner.arrived(self._ring, int(message["n"]), now, look_from(message.get("look")))
        elif kind == "ring" and fd is not None:
            try:
                # The old ring's memory goes with the last frame or viewer that still refers to it.
                self._ring = RingReader(fd, int(message["slots"]), int(message["payload"]))
            finally:
                os.close(fd)
        elif kind == "opened":
            self._owner.opened(dict(message["about"]))
        elif kind == "trouble":
            self._owner.troubled(error_of(message))
        elif kind == "stream":
            numerator, denominator = message["time_base"]
            base = Fraction(numerator, denominator)
            size = (message["width"], message["height"])
            self._owner.described(StreamInfo(message["codec"], *size, base, message["rotation"]))
        elif kind == "packet":
            packet = Packet(data, message["pts"], message["dts"], message["duration"], message["key"])
            self._owner.packet(TimedPacket(packet, message["at"]))


def deadline(session: ProcessLife | None, called: float, timeout: float, patience: Patience) -> float:
    """When a wait of `timeout` seconds that began at `called` is over. The time in which the process loads its
    libraries does not count (many seconds on a busy board), up to `Patience.start`."""
    began = called if session is None else max(called, session.began)
    return timeout + min(began, called + patience.start)


def error_of(message: dict[str, Any]) -> NoctuleError:
    """The error a capture process reported."""
    families = {cls.code: cls for cls in (DeviceError, UnavailableError)}
    family = families.get(str(message.get("code")), DeviceError)
    return family(str(message.get("message", "it failed")), str(message.get("hint", "")))
