"""The eyes as a component of the service: sources under the supervisor, status, and what the governor may take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from noctule.capture.all_sources import Pictures, Sources
from noctule.capture.process.door import HelperDoor
from noctule.config import Config
from noctule.service.component import Host
from noctule.service.governor import Step
from noctule.service.supervisor import Job, Part

#: asking libcamera which cameras there are may take this long (seconds).
_SLOW_LOOK = 30.0


def _loop(run: Callable[[threading.Event, Callable[[], None]], None]) -> Callable[[Part, threading.Event], None]:
    """A capture loop in the form that the supervisor runs."""
    return lambda part, stop: run(stop, part.beat)


class CaptureComponent:
    """Everything about pictures that the service owns. A component, and what the assistant takes pictures with."""

    name = "eyes"

    def __init__(self, host: Host) -> None:
        self._host = host
        api = host.config().api
        self._door = HelperDoor(api.socket.with_name("display.sock"), api.group)
        self.sources = Sources(host.config(), self._publish, lambda: host.config().capture, self._door)
        self._pictures = Pictures(self.sources)

    def _publish(self, kind: str, message: str, level: int, fields: Mapping[str, Any]) -> None:
        self._host.bus.publish(kind, "eyes", message, level, **fields)

    def snapshot(self, source: str) -> Path:
        """Save one picture of "camera" or "display"; where it is. Raises NoctuleError."""
        return self._pictures.snapshot(source)

    def clip(self, source: str, seconds: float) -> tuple[Path, float]:
        """Save a clip; where it is and how many seconds it really has. Raises NoctuleError."""
        return self._pictures.clip(source, seconds)

    def jobs(self) -> Sequence[Job]:
        """A worker per source and per watched source. A source whose device is missing is a
        working part: it waits, says so, and opens the device when it comes."""
        self.sources.store.clean()
        stall = self._host.config().supervision.stall
        found = [
            Job(f"eyes:{name}", _loop(feed.run), max(stall, _SLOW_LOOK), feed.wake)
            for name, feed in self.sources.feeds.items()
        ]
        found += [Job(f"watch:{w.feed.spec.name}", _loop(w.run), stall) for w in self.sources.watches]
        found.append(Job("door", _loop(self._door.run), stall))
        found.append(Job("pictures", _loop(self._sweep), stall))
        return found

    def status(self) -> Mapping[str, Any]:
        return {"sources": self.sources.status(), "page_port": self._host.config().capture.page_port}

    def apply(self, config: Config) -> None:
        """Live settings are asked for each time they are used."""

    def steps(self) -> Sequence[Step]:
        """What the governor may take."""
        return [_Frames(self.sources, lambda: self._host.config().governor.fps), _Background(self.sources)]

    def close(self) -> None:
        self._door.close()

    def _sweep(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Remove what is too old, every ten minutes; what is too much goes when something new comes."""
        while not stop.is_set():
            gone = self.sources.store.sweep()
            if gone:
                self._publish("capture.swept", f"Removed {gone} old pictures", 6, {"count": gone})
            for _ in range(1200):
                beat()
                if stop.wait(0.5):
                    return


class _Frames:
    """Fewer pictures a second, of the sources that are open and of those that will be."""

    name, relieves = "frames", frozenset({"heat", "power"})

    def __init__(self, eyes: Sources, fps: Callable[[], float]) -> None:
        self._eyes, self._fps = eyes, fps

    def take(self) -> str:
        fps = self._fps()
        if not self._eyes.slow(fps):
            self._eyes.slow(0.0)
            return ""
        return f"sources give at most {fps:g} pictures a second"

    def undo(self) -> str:
        self._eyes.slow(0.0)
        return "sources give all their pictures again"


class _Background:
    """Nothing that nobody asked for just now."""

    name, relieves = "background", frozenset({"heat", "power", "memory"})

    def __init__(self, eyes: Sources) -> None:
        self._eyes = eyes

    def take(self) -> str:
        if not self._eyes.ease(True):
            self._eyes.ease(False)
            return ""
        return "watching for motion and keeping video for clips pause"

    def undo(self) -> str:
        self._eyes.ease(False)
        return "watching for motion and keeping video for clips go on"
