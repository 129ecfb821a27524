"""Who looks at a feed, and who records it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from noctule.capture.feed.subscription import Announced, Viewer
from noctule.capture.process.preroll import TimedPacket
from noctule.capture.sources.base import StreamInfo

#: gets the stream and each of its packets, in order.
Listener = Callable[[StreamInfo, TimedPacket], None]


class Audience:
    """Viewers of frames and listeners to packets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: list[Viewer] = []
        self._listeners: list[Listener] = []
        #: monotonic seconds at which somebody left last.
        self.left = float("-inf")

    def view(self, depth: int) -> Viewer:
        """A new viewer with a queue of `depth` frames."""
        viewer = Viewer(depth, self._leave)
        with self._lock:
            self._viewers.append(viewer)
        return viewer

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
                self.left = time.monotonic()

    def listen(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.remove(listener)
            self.left = time.monotonic()

    @property
    def records(self) -> bool:
        """Somebody wants packets."""
        return bool(self._listeners)

    @property
    def present(self) -> bool:
        return bool(self._viewers or self._listeners)

    def show(self, frame: Announced) -> None:
        """A new frame to every viewer; never waits."""
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.offer(frame)

    def tell(self, stream: StreamInfo, packet: TimedPacket) -> None:
        """A new packet to every listener."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(stream, packet)

    def report(self) -> dict[str, int]:
        """For `status`."""
        with self._lock:
            return {
                "viewers": len(self._viewers) + len(self._listeners),
                "dropped": sum(viewer.dropped for viewer in self._viewers),
            }
