"""The compressed video of the last seconds, kept so that a clip can begin before it was asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from noctule.capture.sources.base import Packet, StreamInfo

#: pre-roll is bounded in bytes too, whatever the seconds.
MAX_PREROLL_BYTES = 64 << 20


@dataclass(frozen=True)
class TimedPacket:
    """A packet with the CLOCK_MONOTONIC seconds at which it arrived."""

    packet: Packet
    at: float


class Preroll:
    """The last packets of a source, at least `seconds` of them, always from a key frame on. Not thread-safe."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.stream: StreamInfo | None = None
        self._packets: deque[TimedPacket] = deque()
        self._bytes = 0

    def describe(self, stream: StreamInfo) -> None:
        """A new stream: what was kept of the old one cannot be in one file with it."""
        if stream != self.stream:
            self.stream = stream
            self._packets.clear()
            self._bytes = 0

    def add(self, timed: TimedPacket) -> None:
        if not self._packets and not timed.packet.key:
            return  # nothing can be shown before a key frame
        self._packets.append(timed)
        self._bytes += len(timed.packet.data)
        while self._droppable(timed.at):
            self._drop_group()

    def clear(self) -> None:
        """Forget everything: what comes next has another time line."""
        self.stream = None
        self._packets.clear()
        self._bytes = 0

    @property
    def kept(self) -> float:
        """Seconds of video that are kept."""
        return self._packets[-1].at - self._packets[0].at if self._packets else 0.0

    def since(self, start: float) -> list[TimedPacket]:
        """Packets from the last key frame at or before `start` (the first one kept when there is none)."""
        packets = list(self._packets)
        keys = [i for i, p in enumerate(packets) if p.packet.key and p.at <= start]
        return packets[keys[-1] if keys else 0 :]

    def _second_key(self) -> int | None:
        return next((i for i, p in enumerate(self._packets) if i and p.packet.key), None)

    def _droppable(self, now: float) -> bool:
        second = self._second_key()
        if second is None:
            if self._bytes > MAX_PREROLL_BYTES:  # a key-frame interval larger than the bound: start anew
                self._packets.clear()
                self._bytes = 0
            return False
        return self._packets[second].at <= now - self.seconds or self._bytes > MAX_PREROLL_BYTES

    def _drop_group(self) -> None:
        for _ in range(self._second_key() or 0):
            self._bytes -= len(self._packets.popleft().packet.data)
