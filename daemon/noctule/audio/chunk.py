"""What every sound source delivers. Mono int16 at 16 kHz, in hops of 10 ms, each stamped with its capture time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

#: samples a second of everything inside Noctule that listens.
RATE = 16_000
#: samples in 10 ms, the step of the wake word's front end.
HOP = 160


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples.

    samples: int16 [N], N > 0; time: monotonic seconds at the first sample; index: number of that sample since the
    source was opened (a jump means that samples were lost between chunks).
    """

    samples: Pcm
    time: float
    index: int


class SoundSource(Protocol):
    """A microphone, a file, a pipe or a socket."""

    @property
    def name(self) -> str:
        """For people: "USB Microphone", "demo.wav"."""

    @property
    def steady(self) -> bool:
        """Whether sound must never pause, as a microphone's: then a pause is a fault."""

    def open(self) -> None:
        """Acquire the device. Raises DeviceError or InputError, one sentence."""

    def read(self, timeout: float) -> Chunk | None:
        """The next chunk, or None when nothing came within `timeout` seconds.

        Raises DeviceError when the device is gone, EndOfSound when a finite source is at its end.
        """

    def close(self) -> None:
        """Release the device; may be called twice."""


class EndOfSound(Exception):  # noqa: N818 - not an error: a file is over
    """A finite source has delivered everything."""


class Framer:
    """Cuts samples that come in any lengths into whole hops and stamps them."""

    def __init__(self, hop: int = HOP) -> None:
        self._hop = hop
        self._rest: Pcm = np.zeros(0, np.int16)
        self._index = 0

    def push(self, samples: Pcm, end_time: float) -> Chunk | None:
        """Add samples whose last one was captured at `end_time`; the whole hops that are complete now."""
        self._rest = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(self._rest) // self._hop * self._hop
        if whole == 0:
            return None
        start = end_time - len(self._rest) / RATE
        chunk = Chunk(np.ascontiguousarray(self._rest[:whole]), start, self._index)
        self._rest = self._rest[whole:]
        self._index += whole
        return chunk

    def skip(self, samples: int) -> None:
        """Samples were lost: the next chunk's index says so. What was waiting to fill a hop is lost with them."""
        self._index += len(self._rest) + samples
        self._rest = self._rest[:0]

    def rest(self, end_time: float) -> Chunk | None:
        """What is left at the end of a finite source, filled up with silence to one hop."""
        if not len(self._rest):
            return None
        return self.push(np.zeros(self._hop - len(self._rest), np.int16), end_time)


def to_int16(samples: NDArray[np.float32]) -> Pcm:
    """float32 in -1 … 1 to int16, rounded, saturating."""
    scaled = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0)
    pcm: Pcm = scaled.astype(np.int16)
    return pcm
