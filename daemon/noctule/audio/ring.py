"""The last seconds of sound, so that a command's first word is not lost while the wake word is being decided.

Written by one thread, read by others. Samples are addressed by their number since the source was opened; asking
for samples that have been overwritten gives what is left of them and says how many are missing.
"""

from __future__ import annotations

import threading

import numpy as np

from noctule.audio.chunk import RATE, Chunk, Pcm


class SoundRing:
    """A ring of `seconds` of mono int16 at 16 kHz."""

    def __init__(self, seconds: float) -> None:
        self._size = int(seconds * RATE)
        self._data = np.zeros(self._size, np.int16)
        self._lock = threading.Lock()
        self._start = 0  # number of the oldest sample held
        self._end = 0  # number of the sample that will come next

    @property
    def end(self) -> int:
        """Number of the sample that will be written next."""
        with self._lock:
            return self._end

    def write(self, chunk: Chunk) -> None:
        """Append a chunk. A gap before it (lost samples) forgets what came earlier: sound is never spliced."""
        with self._lock:
            if chunk.index != self._end:
                self._start = self._end = chunk.index
            samples = chunk.samples[-self._size :]
            self._end += len(chunk.samples)
            at = (self._end - len(samples)) % self._size
            head = min(len(samples), self._size - at)
            self._data[at : at + head] = samples[:head]
            self._data[: len(samples) - head] = samples[head:]
            self._start = max(self._start, self._end - self._size)

    def read(self, first: int, last: int | None = None) -> tuple[Pcm, int]:
        """Samples `first` … `last` (exclusive; None: up to now): (a copy, how many at the beginning are lost)."""
        with self._lock:
            last = self._end if last is None else min(last, self._end)
            begin = max(first, self._start)
            count = max(0, last - begin)
            at = begin % self._size
            head = min(count, self._size - at)
            samples = np.concatenate([self._data[at : at + head], self._data[: count - head]])
        return samples, min(begin - first, max(0, last - first))

    def clear(self) -> None:
        """Forget everything, as muting must."""
        with self._lock:
            self._data[:] = 0
            self._start = self._end
