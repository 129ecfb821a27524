"""Clips: the packets of the last seconds and of the next ones, in one file, without decoding them."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noctule.capture.feed.feed import Feed
from noctule.capture.files.files import atomic_file, writing
from noctule.capture.process.preroll import TimedPacket
from noctule.capture.sources.base import StreamInfo
from noctule.capture.states import LOST, PAUSED
from noctule.core.errors import DeviceError, NoctuleError

if TYPE_CHECKING:
    from noctule.capture.process.packets import ClipWriter

#: packets that may wait for a slow disk before the clip is cut.
_QUEUE = 2000


@dataclass(frozen=True)
class Clip:
    """A finished clip. before: seconds of it from before the call; ended_early: why it is too short, or ""."""

    path: Path
    seconds: float
    before: float
    ended_early: str = ""


def record(feed: Feed, path: Path, before: float, after: float, timeout: float = 10.0) -> Clip:
    """Record `path` (.mp4): up to `before` seconds of what the feed has kept, and `after` seconds from now on.

    Waits up to `timeout` seconds for the source to open. The file appears when it is whole; when the source is lost
    on the way it holds what came, and `ended_early` says why. DeviceError with the reason when nothing came at all.
    """
    arrived: queue.Queue[tuple[StreamInfo, TimedPacket]] = queue.Queue(_QUEUE)
    overflow: list[str] = []

    def listener(stream: StreamInfo, timed: TimedPacket) -> None:
        try:
            arrived.put_nowait((stream, timed))
        except queue.Full:
            overflow[:] = ["the disk is too slow"]

    called, tried = time.monotonic(), feed.restarts
    feed.listen(listener, called - before)
    try:
        with writing(path), atomic_file(path) as hidden:
            return _write(feed, arrived, overflow, hidden, path, called, after, timeout, tried)
    finally:
        feed.unlisten(listener)


def _write(
    feed: Feed,
    arrived: queue.Queue[tuple[StreamInfo, TimedPacket]],
    overflow: list[str],
    hidden: Path,
    path: Path,
    called: float,
    after: float,
    timeout: float,
    tried: int,
) -> Clip:
    from noctule.capture.process.packets import ClipWriter

    writer: ClipWriter | None = None
    described: StreamInfo | None = None
    first: float | None = None
    why = ""
    # The seconds after the call count from the first picture when the source had to be opened for this.
    began: float | None = None
    last = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            if began is not None and now >= began + after and arrived.empty():
                break
            try:
                stream, timed = arrived.get(timeout=0.1)
            except queue.Empty:
                why = _trouble(feed, last if began is not None else None, called, timeout, tried)
                if why:
                    break
                continue
            last = time.monotonic()
            if described is not None and stream != described:
                why = "the picture's size or format changed"
                break
            if writer is None:
                if not timed.packet.key:
                    continue
                writer, described, first = ClipWriter(hidden, stream), stream, timed.at
                began = max(called, timed.at)
            if began is not None and timed.at > began + after:
                break
            writer.add(timed.packet)
            why = overflow[0] if overflow else ""
            if why:
                break
    finally:
        if writer is not None:
            writer.close()
    if writer is None or first is None or not writer.packets:
        raise DeviceError(f"{feed.spec.name} gave nothing for a clip: {why or 'no key frame came in time'}")
    return Clip(path, writer.seconds, max(0.0, called - first), why)


def _trouble(feed: Feed, last: float | None, called: float, timeout: float, tried: int) -> str:
    """Why nothing more will come, or ""."""
    error: NoctuleError | None = feed.error
    if feed.state == PAUSED:
        return "it was paused"
    if error is not None and (feed.hopeless(tried) or (feed.state == LOST and last is not None)):
        return error.message
    if last is None:
        return f"no key frame came within {timeout:g} s" if time.monotonic() > feed.until(called, timeout) else ""
    return "no more pictures came" if time.monotonic() - last > max(timeout, feed.patience.stall * 2) else ""
