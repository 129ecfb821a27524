"""What the samples of a WAV file look like, and whether they were clipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

#: a sample at or beyond this is at the rail of its format; this many in a row is clipping, not a loud peak.
RAIL, _RUN = 0.9995, 3
#: clipped runs per second of audio that are worth a warning.
CLIPPED_PER_SECOND = 1.0


@dataclass(frozen=True)
class WavFormat:
    """What the header says. `frames` is samples per channel, or None when the writer did not know it."""

    sample_rate: int
    channels: int
    bits: int
    is_float: bool
    frames: int | None

    @property
    def block_bytes(self) -> int:
        return self.channels * self.bits // 8


class Clipping:
    """Counts runs of `_RUN` or more samples at the rail, over block borders."""

    def __init__(self) -> None:
        self.runs = 0
        self._tail = np.zeros(_RUN, bool)

    def feed(self, at_rail: NDArray[np.bool_]) -> None:
        flags = np.concatenate([self._tail, at_rail])
        length = len(at_rail)
        # a run counts where its _RUN-th sample stands: it and those before it are set, the one before is not
        inside = np.ones(length, bool)
        for back in range(_RUN):
            inside &= flags[_RUN - back : _RUN - back + length]
        self.runs += int((inside & ~flags[:length]).sum())
        self._tail = flags[-_RUN:]


def decode(data: bytes, form: WavFormat) -> Samples:
    """Interleaved samples as float32 in [-1, 1]."""
    bits = form.bits
    if form.is_float:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is then refused
            return np.frombuffer(data, "<f4" if bits == 32 else "<f8").astype(np.float32)
    scale = 2.0 ** (bits - 1)
    if bits == 8:  # the one unsigned width
        out = np.frombuffer(data, np.uint8).astype(np.float32)
        out -= np.float32(scale)
    elif bits == 24:
        packed = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(packed), 4), np.uint8)
        wide[:, 1:] = packed
        out = wide.view("<i4")[:, 0].astype(np.float32)
        scale = 2.0**31
    else:
        out = np.frombuffer(data, f"<i{bits // 8}").astype(np.float32)
    out *= np.float32(1.0 / scale)
    return out
