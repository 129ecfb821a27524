"""Writes clips of what woke it: a worker of its own, because an SD card may take a second and the ears must not
wait for it. One thread. What comes while `WAITING` clips wait is dropped and counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from noctule.audio.chunk import Pcm
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus
from noctule.service.supervisor import Job, Part
from noctule.voice.wakewords.clip_folder import WakeClips

#: clips that may wait to be written; seconds of one wait, and without work after which the thread counts as frozen.
WAITING, PATIENCE, MAX_AGE = 4, 1.0, 30.0


@dataclass(frozen=True)
class Detected:
    """samples: int16 mono 16 kHz; wall: seconds since 1970, for the clip's name."""

    word: str
    score: float
    samples: Pcm
    wall: float


class ClipKeeper:
    """A queue before the folder."""

    def __init__(self, clips: WakeClips, bus: Bus) -> None:
        self._clips, self._bus = clips, bus
        self._news = threading.Condition()
        self._waiting: deque[Detected] = deque()
        #: clips that came too fast for the disk.
        self.dropped = 0
        self.job = Job("clips", self.run, MAX_AGE, self._wake)

    def put(self, heard: Detected) -> bool:
        """Never blocks; False when it was dropped."""
        with self._news:
            if len(self._waiting) >= WAITING:
                self.dropped += 1
                return False
            self._waiting.append(heard)
            self._news.notify_all()
        return True

    def run(self, part: Part, stop: threading.Event) -> None:
        """Write what comes; at the end, what still waits."""
        while True:
            part.beat()
            with self._news:
                if not self._waiting and not stop.is_set():
                    self._news.wait(PATIENCE)
                heard = self._waiting.popleft() if self._waiting else None
            if heard is not None:
                self._save(heard)
            elif stop.is_set():
                return

    def _save(self, heard: Detected) -> None:
        try:
            path = self._clips.save(heard.word, heard.score, heard.samples, heard.wall)
        except NoctuleError as error:
            self._bus.publish("wake.saved", "wake", f"A clip could not be kept: {error}", 4)
        else:
            self._bus.publish("wake.saved", "wake", f"Kept {path.name}", file=str(path))

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()
