"""One source's pictures as JPEG for any number of viewers: each picture is encoded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from noctule.capture.feed.feed import Feed
from noctule.capture.picture.frame import Frame
from noctule.core.errors import DeviceError, NoctuleError

BOUNDARY = "noctule-picture"
#: seconds between looks at whether there are still viewers and still a source.
_TICK = 0.25


@dataclass(frozen=True)
class StreamPart:
    """A part of a multipart stream; error: it is not a picture but this reason, and nothing follows it."""

    data: bytes
    error: NoctuleError | None = None

    @property
    def last(self) -> bool:
        return self.error is not None


def picture_part(frame: Frame, jpeg: bytes) -> StreamPart:
    """A picture with what is known of it in its head."""
    head = (
        f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Noctule-Seq: {frame.seq}\r\n"
        f"X-Noctule-Pts: {frame.pts}\r\nX-Noctule-Captured: {frame.captured:.6f}\r\n"
        f"X-Noctule-Flags: {','.join(sorted(frame.flags))}\r\n\r\n"
    )
    return StreamPart(head.encode() + jpeg + b"\r\n")


def end_part(error: NoctuleError) -> StreamPart:
    """The last part: why there are no more pictures, in words."""
    text = error.explain().encode()
    head = f"--{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n\r\n"
    return StreamPart(head.encode() + text + f"\r\n--{BOUNDARY}--\r\n".encode(), error)


class Broadcast:
    """The stream of one feed at one quality. A thread works while there are viewers."""

    def __init__(self, feed: Feed, quality: int, max_age: float, timeout: float) -> None:
        self.feed, self.quality, self.max_age, self.timeout = feed, quality, max_age, timeout
        self._lock = threading.Lock()
        self._viewers: list[Callable[[StreamPart], None]] = []
        self._thread: threading.Thread | None = None
        #: pictures encoded so far.
        self.encoded = 0

    def join(self, viewer: Callable[[StreamPart], None]) -> None:
        """`viewer(part)` is called for each picture, in the encoder's thread, until `leave` or a last part."""
        with self._lock:
            self._viewers.append(viewer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"mjpeg:{self.feed.spec.name}", daemon=True)
                self._thread.start()

    def leave(self, viewer: Callable[[StreamPart], None]) -> None:
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)

    def wait(self, timeout: float) -> bool:
        """True once the thread has ended, as it does soon after the last viewer has left."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        from noctule.capture.picture.encode import jpeg

        silent = 0.0
        tried = self.feed.restarts
        with self.feed.subscribe(1) as subscription:
            while True:
                with self._lock:
                    viewers = list(self._viewers)
                    if not viewers:
                        self._thread = None
                        return
                frame = subscription.get(_TICK)
                if frame is None:
                    silent += _TICK
                    limit = self.max_age if self.encoded else self.timeout
                    if silent > limit or self.feed.hopeless(tried) or self.feed.state == "paused":
                        self._end()
                        return
                    continue
                silent = 0.0
                part = picture_part(frame, jpeg(frame, self.quality))
                self.encoded += 1
                for viewer in viewers:
                    viewer(part)

    def _end(self) -> None:
        reason: NoctuleError = DeviceError(f"{self.feed.spec.name} gives no pictures")
        try:
            self.feed.latest(0.0)
        except NoctuleError as error:
            reason = error
        with self._lock:
            viewers, self._viewers, self._thread = self._viewers, [], None
        for viewer in viewers:
            viewer(end_part(reason))
