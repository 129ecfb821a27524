"""WAV files in the place of a microphone, one after another, as if somebody spoke them in a quiet room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from noctule.audio.chunk import HOP, RATE, Chunk, EndOfSound, Pcm, to_int16
from noctule.audio.wavefile import WavReader
from noctule.core.clock import Clock, SystemClock

#: seconds of silence before the first file: a wake word's detector must hear a room before it trusts itself.
LEAD = 2.5
#: seconds of silence after each file, at least.
TRAIL = 1.0


class Playlist:
    """ready: whether the next file may begin (or, after the last, the source may end); until then there is silence.
    on_file: told each file as it begins, with the monotonic time of its first sample. warn: told what a file lacks.

    Silence is one bit of seeded noise: digital zero is what a broken microphone gives. Sound comes in real time, so
    that times measured over it mean something.
    """

    steady = False

    def __init__(
        self,
        files: Sequence[Path],
        ready: Callable[[], bool],
        on_file: Callable[[Path, float], None] = lambda path, at: None,
        clock: Clock | None = None,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._files, self._ready, self._on_file, self._warn = list(files), ready, on_file, warn
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        self._hops: Iterator[Pcm] = iter(())
        self._next: Pcm | None = None
        self._reader: WavReader | None = None

    @property
    def name(self) -> str:
        return ", ".join(path.name for path in self._files)

    def open(self) -> None:
        for path in self._files:
            WavReader(path).close()  # a file that is none is told before anything is played
        self._hops = self._all()
        self._next = None
        self._started, self._index = self._clock.monotonic(), 0

    def _all(self) -> Iterator[Pcm]:
        noise = np.random.default_rng(0)

        def silence() -> Pcm:
            return noise.integers(-1, 2, HOP, np.int16)

        for _ in range(int(LEAD * RATE / HOP)):
            yield silence()
        for path in self._files:
            while not self._ready():
                yield silence()
            self._on_file(path, self._started + self._index / RATE)
            with WavReader(path) as self._reader:
                for block in self._reader.at_rate(RATE, HOP):
                    hop = to_int16(block)
                    yield hop if len(hop) == HOP else np.concatenate([hop, silence()[len(hop) :]])
                for sentence in self._reader.warnings:
                    self._warn(sentence)
            for _ in range(int(TRAIL * RATE / HOP)):
                yield silence()
        while not self._ready():
            yield silence()

    def read(self, timeout: float) -> Chunk | None:
        if self._next is None:
            self._next = next(self._hops, None)
            if self._next is None:
                raise EndOfSound
        at = self._started + self._index / RATE
        wait = at + HOP / RATE - self._clock.monotonic()
        if wait > 0:
            self._clock.wait(self._never, min(wait, timeout))
            if wait > timeout:
                return None
        samples, self._next = self._next, None
        chunk = Chunk(samples, at, self._index)
        self._index += HOP
        return chunk

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
