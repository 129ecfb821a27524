"""A clip once more in a voice that nobody has (`builders.sound.vocoder`), words and phones as they are said now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from builders.sound import vocoder
from builders.speech.clips import Clip, Span


def revoiced(clip: Clip, rng: Random) -> Clip:
    """The same words by somebody else, their times told anew."""
    marks = [at for span in clip.phones or clip.words for at in (span.start, span.end)]
    audio, old, new = vocoder.revoiced(clip.audio, marks, rng)

    def told(spans: Sequence[Span]) -> tuple[Span, ...]:
        return tuple(Span(s.label, *(float(at) for at in np.interp([s.start, s.end], old, new))) for s in spans)

    return replace(clip, audio=audio, words=told(clip.words), phones=told(clip.phones))
