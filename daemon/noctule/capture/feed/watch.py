"""Watching a source: says when something moves and when the scene changes. Words, not pictures, unless configured."""

from __future__ import annotations

import threading
from collections.abc import Callable

from noctule.capture.feed.feed import Feed, Publish
from noctule.capture.picture.frame import Frame
from noctule.capture.picture.select import MotionDetector, SceneDetector

#: pictures looked at per second; more find nothing more.
_RATE = 10.0
#: seconds after a gap in the pictures during which nothing is said: exposure settles, and the background is new.
_SETTLE = 1.0


class Watch:
    """One watched source. thumbnail: keeps a small picture where configured, returns its path or ""."""

    def __init__(
        self, feed: Feed, motion: bool, scenes: bool, publish: Publish, thumbnail: Callable[[Frame], str]
    ) -> None:
        self.feed, self._want_motion, self._want_scenes = feed, motion, scenes
        self._publish, self._thumbnail = publish, thumbnail
        self._motion, self._scenes = MotionDetector(), SceneDetector()
        self._seen: float | None = None
        self._settled = 0.0
        #: the owner's: do not look for a while, and let the source close
        self.held = False

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Until `stop`; holds the source open, except while it is `held`."""
        while not stop.is_set():
            if self.held:
                beat()
                stop.wait(0.25)
                continue
            self._look_on(stop, beat)

    def _look_on(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        with self.feed.subscribe(2) as viewer:
            while not (stop.is_set() or self.held):
                frame = viewer.get(0.25)
                beat()
                if frame is not None and (self._seen is None or frame.captured - self._seen >= 0.9 / _RATE):
                    self.look(frame)

    def look(self, frame: Frame) -> None:
        """Judge one picture and publish what it shows."""
        now = frame.captured
        if self._seen is None or now - self._seen > self.feed.patience.stall:
            moving = self._motion.moving
            self._motion, self._scenes = MotionDetector(), SceneDetector()
            self._settled = now + _SETTLE
            if moving:
                self._say("motion.end", frame, 0.0, "nothing can be seen to move any more")
        self._seen = now
        luma = frame.small_luma()
        moved = self._motion.update(luma, now) if self._want_motion else None
        cut = self._scenes.update(luma) if self._want_scenes else None
        if now < self._settled:
            if moved is not None:
                self._motion.moving = False
            return
        if moved is not None and moved[0] == "begin":
            self._say("motion.begin", frame, moved[1], "something moves", picture=True)
        elif moved is not None:
            self._say("motion.end", frame, moved[1], "nothing moves any more")
        if cut is not None:
            self._say("scene.changed", frame, cut, "the scene has changed", picture=True)

    def _say(self, kind: str, frame: Frame, score: float, words: str, picture: bool = False) -> None:
        fields = {"source": frame.source, "score": round(score, 4), "seq": frame.seq, "pts": float(frame.pts)}
        kept = self._thumbnail(frame) if picture else ""
        if kept:
            fields["thumbnail"] = kept
        self._publish(kind, f"{frame.source}: {words}", 6, fields)
