"""Several channels to one, by what is in them.

The mean is right for a room heard by two microphones and wrong where one channel is the other upside down (a balanced
cable on a stereo plug): then nothing is left. So the mean is held against the loudest channel, and where it has lost
most of it that channel is taken alone, from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: a mean with less than this share of the loudest channel's energy has lost it: below what two channels lose when one
#: of them is silent (a quarter).
_LOST = 0.2


class Mixdown:
    """A stream of blocks [n, channels] float32 to blocks [n]."""

    def __init__(self, channels: int) -> None:
        #: energy so far: of each channel, and of the mean.
        self._each = np.zeros(channels)
        self._mean = 0.0
        #: the channel that is taken alone, from 0; None for the mean of all.
        self.alone: int | None = None

    def __call__(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        if self.alone is None:
            mean: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
            self._each += np.einsum("nc,nc->c", block, block, dtype=np.float64)
            self._mean += float(np.einsum("n,n->", mean, mean, dtype=np.float64))
            loudest = int(self._each.argmax())
            if self._mean >= _LOST * self._each[loudest]:
                return np.ascontiguousarray(mean)
            self.alone = loudest
        return np.ascontiguousarray(block[:, self.alone])

    @property
    def note(self) -> str:
        """What is worth telling, or ""."""
        if self.alone is None:
            return ""
        return f"its channels cancel each other: channel {self.alone + 1} of {len(self._each)} is heard alone"
