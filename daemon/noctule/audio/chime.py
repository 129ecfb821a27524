"""A short chime, for boards that have a loudspeaker but no voice. Generated: two bell tones, a fourth apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: samples a second.
RATE = 16_000
#: Hz: G5 and C6.
_TONES = (783.99, 1046.50)
#: seconds: from tone to tone, until a tone has faded, in all.
_STEP, _DECAY, SECONDS = 0.18, 0.35, 1.2
_LOUD = 0.35


def chime() -> NDArray[np.float32]:
    """float32 [SECONDS * RATE] in [-1, 1]."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    out = np.zeros_like(time)
    for i, tone in enumerate(_TONES):
        since = np.maximum(time - i * _STEP, 0.0)
        # A bell: partials fade faster the higher they are; a few milliseconds of attack avoid a click.
        attack = np.minimum(since / 0.005, 1.0)
        bell = sum(
            np.sin(2 * np.pi * tone * partial * since) * np.exp(-since * partial / _DECAY) / partial
            for partial in (1, 2, 3)
        )
        out += attack * bell
    faded = np.minimum((SECONDS - time) / 0.05, 1.0)
    sound: NDArray[np.float32] = (_LOUD * out / np.abs(out).max() * faded).astype(np.float32)
    return sound
