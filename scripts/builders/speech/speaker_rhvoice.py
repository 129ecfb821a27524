"""RHVoice as a speaker of training clips: it tells when words begin and end, but no phones."""

from __future__ import annotations

from random import Random

import numpy as np

from builders.sound.engines.rhvoice import Rhvoice
from builders.speech.clips import RATE, Clip, Span
from builders.speech.speakers import warped


class RhvoiceSpeaker:
    """RHVoice in this process. Times are as fine as the blocks in which it speaks, about 0.1 s."""

    def __init__(self) -> None:
        self._engine = Rhvoice()

    def say(self, text: str, voice: str, rng: Random) -> Clip | None:
        """Speak with a random pace and pitch; None when it reads two words as one."""
        pace, pitch = (
            float(np.exp(rng.uniform(np.log(low), np.log(high)))) for low, high in ((0.75, 1.4), (0.7, 1.4))
        )
        said = self._engine.timed(voice, text, pace, pitch)
        if said is None:
            return None
        audio, times = said
        loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
        if not len(loud):
            return None
        first, last = loud[0] / RATE, (loud[-1] + 1) / RATE
        ends = [min(max(end, first), last) for _, end in times[:-1]] + [last]
        words = tuple(Span(w, a, b) for w, a, b in zip(text.split(), [first, *ends[:-1]], ends, strict=True))
        return warped(Clip(audio, text, f"rhvoice:{voice}", words), RATE, rng, 0.86, 1.17)
