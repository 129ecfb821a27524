"""Who looks at a source's frames: bounded queues of announcements; pixels are copied only when they are taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from noctule.capture.picture.frame import Frame, Luma
from noctule.capture.process.ring import RingReader


class Announced:
    """A frame that lies in the ring. `take` copies it out."""

    def __init__(
        self, ring: RingReader, number: int, source: str, seq: int, at: float, look: Luma | None = None
    ) -> None:
        self.ring, self.number, self.source, self.seq, self.at = ring, number, source, seq, at
        self.look = look

    def take(self) -> Frame | None:
        """The frame, or None when the ring has gone over it."""
        frame = self.ring.read(self.number, self.source, self.seq)
        return frame if frame is None or self.look is None else replace(frame, look=self.look)


class Viewer:
    """A viewer of one feed, from `Feed.subscribe`. While it is open the source is. Oldest frames go first.

    closed: told once it does not look any more.
    """

    def __init__(self, depth: int, closed: Callable[[Viewer], None]) -> None:
        self._left = closed
        self._queue: deque[Announced] = deque(maxlen=depth)
        self._arrived = threading.Condition()
        self._closed = False
        #: frames this viewer did not get because it was slow.
        self.dropped = 0

    def offer(self, frame: Announced) -> None:
        """A new frame; never waits."""
        with self._arrived:
            if len(self._queue) == self._queue.maxlen:
                self.dropped += 1
            self._queue.append(frame)
            self._arrived.notify()

    def get(self, timeout: float) -> Frame | None:
        """The oldest frame not yet seen, or None when there is none within `timeout` seconds."""
        while True:
            with self._arrived:
                if not self._arrived.wait_for(lambda: self._queue or self._closed, timeout) or not self._queue:
                    return None
                announced = self._queue.popleft()
            frame = announced.take()
            if frame is not None:
                return frame
            self.dropped += 1

    def close(self) -> None:
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        self._left(self)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
