"""A text on its way to the loudspeaker, and what turns it into sound. See mouth.py, whose thread does it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.core.clock import Clock
from noctule.core.errors import UnavailableError

#: seconds without progress after which nobody waits for a voice any more.
STALL = 15.0
#: characters of one text that may wait to be spoken.
LONGEST = 16_384

Samples = NDArray[np.float32]


class Synthesis(Protocol):
    """One text being spoken."""

    @property
    def rate(self) -> int:
        """Samples a second; known once `step` has given sound."""

    @property
    def done(self) -> bool:
        """Everything was spoken."""

    def more(self, text: str) -> None:
        """A further piece of the text, cut anywhere."""

    def close(self) -> None:
        """The text is complete."""

    def step(self) -> Samples | None:
        """The next piece of sound, float32 in [-1, 1]; None when there is none yet. Raises NoctuleError."""

    def cancel(self) -> None:
        """Nobody wants the rest."""


class Synthesizer(Protocol):
    """Text to sound."""

    @property
    def name(self) -> str:
        """For `status`."""

    def begin(self) -> Synthesis:
        """A new text. Raises NoctuleError."""

    def close(self) -> None:
        """Free the model."""


class SpeechHandle:
    """One text on its way to the loudspeaker. Thread-safe."""

    def __init__(self, started: Callable[[], bool], clock: Clock, *, ring: bool = False) -> None:
        self.started = started
        #: a chime instead of words
        self.ring = ring
        self._clock = clock
        self._lock = threading.Lock()
        self._pieces: deque[str] = deque()
        self._length = 0
        self._closed = False
        self.cancelled = threading.Event()
        self.news = threading.Event()
        self.result: Future[bool] = Future()
        #: monotonic seconds of the last sign of progress
        self.progress = clock.monotonic()
        #: characters that were too many
        self.cut = 0

    def put(self, piece: str) -> None:
        """A further piece of the text; never blocks. What is beyond `LONGEST` characters is left out, counted."""
        with self._lock:
            room = max(0, LONGEST - self._length)
            self.cut += max(0, len(piece) - room)
            if piece[:room]:
                self._pieces.append(piece[:room])
                self._length += len(piece[:room])
        self.news.set()

    def close(self) -> None:
        """The text is complete."""
        with self._lock:
            self._closed = True
        self.news.set()

    def cancel(self) -> None:
        """Say no more of it."""
        self.cancelled.set()
        self.news.set()

    def take(self) -> tuple[str, bool]:
        """(what has come, whether it is complete)."""
        with self._lock:
            self.news.clear()
            text = "".join(self._pieces)
            self._pieces.clear()
            self._length -= len(text)
            return text, self._closed

    def moved(self) -> None:
        self.progress = self._clock.monotonic()

    def wait(self, timeout: float) -> bool | None:
        """True: spoken to its end; False: interrupted, or forbidden; None: not over. Raises NoctuleError."""
        with contextlib.suppress(FutureTimeout):
            return self.result.result(timeout)
        if self._clock.monotonic() - self.progress > STALL:
            self.cancel()
            raise UnavailableError(f"The voice made no sound for {STALL:g} s.", "noctule status")
        return None
