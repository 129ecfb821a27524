"""Change the sample rate of a stream of audio, exactly the same however the stream is cut into blocks.

Method: polyphase windowed-sinc interpolation (Crochiere & Rabiner, *Multirate Digital Signal Processing*,
1983, ch. 4; Kaiser window, Kaiser 1974). It is written here in numpy rather than taken from a library because
the device needs one rate conversion of a few lines, and every candidate (soxr, samplerate, scipy) is a
compiled dependency many times larger than this file.
"""

from __future__ import annotations

from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError

Samples = NDArray[np.float32]

#: zero crossings of the sinc on each side: 32 with the window below gives > 90 dB of stop band.
_ZEROS = 32
#: Kaiser beta for about 95 dB (Kaiser's formula: 0.1102 (A - 8.7)).
_BETA = 9.5
#: the pass band ends here, as a share of the lower Nyquist frequency; the transition fits in the rest.
_ROLLOFF = 0.91
LOWEST_RATE, HIGHEST_RATE = 2_000, 768_000
#: filter taps of all phases together; rates with hardly a common divisor would need gigabytes.
_LARGEST_BANK = 500_000


def _filter_bank(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """Polyphase filters [up, taps] and the reach (taps on the left of the centre sample)."""
    cutoff = min(1.0, up / down) * _ROLLOFF
    reach = ceil(_ZEROS / cutoff)
    if up * 2 * reach > _LARGEST_BANK:
        raise InputError(
            f"a sample rate that is {down}/{up} of the wanted one cannot be converted within bounded memory",
            "convert it first: `ffmpeg -i IN -ar 16000 OUT.wav`",
        )
    taps = np.arange(-reach + 1, reach + 1, dtype=np.float64)
    phases = np.arange(up, dtype=np.float64)[:, None] / up
    distance = taps[None, :] - phases
    window = np.i0(_BETA * np.sqrt(np.clip(1.0 - (distance / reach) ** 2, 0.0, None))) / np.i0(_BETA)
    bank = cutoff * np.sinc(cutoff * distance) * window
    bank /= bank.sum(axis=1, keepdims=True)  # each phase passes a constant unchanged
    return bank.astype(np.float32), reach


class Resampler:
    """Streaming conversion from `source` to `target` Hz, mono float32.

    `push(block)` returns the samples that are certain by now; `finish()` returns the rest. Output n lies at
    input time n * source / target (no delay); n input samples give ceil(n * target / source) output samples.
    """

    def __init__(self, source: int, target: int) -> None:
        for rate in (source, target):
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise InputError(
                    f"a sample rate of {rate} Hz cannot be converted",
                    f"use audio between {LOWEST_RATE} and {HIGHEST_RATE} Hz",
                )
        common = gcd(source, target)
        self._up, self._down = target // common, source // common
        self._bank: NDArray[np.float32] | None = None
        self._reach = 0
        if self._up != self._down:
            self._bank, self._reach = _filter_bank(self._up, self._down)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard; the next sample is the first of a new stream."""
        self._received = 0
        self._produced = 0
        # samples still needed, beginning at absolute index `_start`; silence before the first one
        self._start = -(self._reach - 1) if self._bank is not None else 0
        self._held: Samples = np.zeros(max(self._reach - 1, 0), np.float32)

    def push(self, block: Samples) -> Samples:
        """Samples [n] in, samples [m] out; m may be 0."""
        self._received += len(block)
        if self._bank is None:
            return np.ascontiguousarray(block, dtype=np.float32)
        self._held = np.concatenate([self._held, block.astype(np.float32, copy=False)])
        # output n needs inputs up to floor(n * down / up) + reach
        last_base = self._received - 1 - self._reach
        ready = 0 if last_base < 0 else (last_base * self._up + self._up - 1) // self._down + 1
        return self._produce(ready)

    def finish(self) -> Samples:
        """The tail, as if silence followed; the resampler is then reset."""
        if self._bank is None:
            self.reset()
            return np.zeros(0, np.float32)
        self._held = np.concatenate([self._held, np.zeros(self._reach + 1, np.float32)])
        out = self._produce(-(-self._received * self._up // self._down))
        self.reset()
        return out

    def _produce(self, until: int) -> Samples:
        if self._bank is None or until <= self._produced:
            return np.zeros(0, np.float32)
        n = np.arange(self._produced, until, dtype=np.int64) * self._down
        base, phase = n // self._up, n % self._up
        first = base - self._reach + 1 - self._start
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._reach)
        out = np.einsum("nt,nt->n", windows[first], self._bank[phase], optimize=False)
        self._produced = until
        keep = until * self._down // self._up - self._reach + 1 - self._start
        keep = min(max(int(keep), 0), len(self._held))
        self._held = self._held[keep:].copy()
        self._start += keep
        return np.ascontiguousarray(out, dtype=np.float32)
