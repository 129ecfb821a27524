"""Raw PCM of any rate, width and channel count, in pieces of any length, as float32 blocks or 16 kHz int16.

Pieces need not end where a sample does: what is over waits for the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noctule.audio.chunk import RATE, Pcm, to_int16
from noctule.audio.mixdown import Mixdown
from noctule.audio.resample import HIGHEST_RATE, LOWEST_RATE, Resampler
from noctule.audio.wav_format import WavFormat, decode
from noctule.core.errors import InputError

Samples = NDArray[np.float32]
_MOST_CHANNELS = 32


class PcmStream:
    """rate: Hz; width: bytes of a sample, 1 (unsigned) to 4; channels. Raises InputError for what no sound has."""

    def __init__(self, rate: int, width: int, channels: int) -> None:
        if (
            width not in (1, 2, 3, 4)
            or not 1 <= channels <= _MOST_CHANNELS
            or not LOWEST_RATE <= rate <= HIGHEST_RATE
        ):
            raise InputError(f"Sound of {8 * width} bits in {channels} channels at {rate} Hz cannot be read.")
        self.rate, self.width, self.channels = rate, width, channels
        self._form = WavFormat(rate, channels, 8 * width, False, None)
        self._mixed = Mixdown(channels)
        self._odd = b""

    def push(self, data: bytes) -> Samples:
        """Mono samples in -1 … 1 at the stream's own rate."""
        data = self._odd + data
        block = self._form.block_bytes
        whole = len(data) // block * block
        self._odd = data[whole:]
        return self._mixed(decode(data[:whole], self._form).reshape(-1, self.channels))


class PcmTo16k:
    """The same, as int16 mono at 16 kHz. What is that already goes through bit for bit."""

    def __init__(self, rate: int, width: int, channels: int) -> None:
        self.format = (rate, width, channels)
        self._stream = PcmStream(rate, width, channels)
        self._resampler = Resampler(rate, RATE)
        self._odd = b""

    def push(self, data: bytes) -> Pcm:
        if self.format == (RATE, 2, 1):
            data = self._odd + data
            whole = len(data) // 2 * 2
            self._odd = data[whole:]
            return np.frombuffer(data[:whole], "<i2").astype(np.int16)
        return to_int16(self._resampler.push(self._stream.push(data)))
