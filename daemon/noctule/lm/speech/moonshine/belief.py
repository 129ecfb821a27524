"""What is not believed: texts that the model writes for sound in which nobody speaks.

It was trained on speech and writes something for every sound: "You" for silence, clicks, knocks, noise and tones,
surer of it than of most commands; notes for hum; the same phrase over and over for sound that ends in a word. Its own
probabilities do not tell all of these from speech. Some are known by what they are; for the others it counts where
the decoder looked: it walks along speech as it writes, and stays about where it is over sound that holds no words.
"""

from __future__ import annotations

import math
import re

import numpy as np

from noctule.lm.speech.moonshine.greedy import Transcription, middle_of
from noctule.lm.speech.moonshine.rows import FloatArray
from noctule.lm.speech.moonshine.shape import RATE

#: whole texts that stand for "nobody spoke"; a person who says just that has not asked for anything
HABITS = frozenset(
    {
        *("you", "the", "and", "i", "a", "oh", "uh", "um", "hmm", "mm", "thank you", "bye", "so", "but"),
        *("thank you for watching", "thanks for watching", "thank you thank you", "transcript emily beynon"),
    }
)
#: marks of music and of subtitles
_MARKS = "\u266a\u266b\xa9"
#: the loudest tenth of a second must reach this, in decibels of full scale: a whisper at arm's length does
_QUIETEST = -55.0
_BLOCK = RATE // 10
#: a text is a guess where its tokens' mean log-probability and the seconds the decoder walked for each of them, the
#: latter times _WALK and at most _FASTEST seconds, do not reach this together
_LEAST, _WALK, _FASTEST = -0.2, 4.0, 0.3


def loudest(pcm: FloatArray) -> float:
    """Decibels of full scale of the loudest tenth of a second, without its mean (a microphone's DC says nothing)."""
    if not len(pcm):
        return -math.inf
    sound = pcm - pcm.mean(dtype=np.float64)
    whole = np.pad(sound, (0, -len(sound) % _BLOCK)).reshape(-1, _BLOCK)
    power = float((whole.astype(np.float64) ** 2).mean(axis=1).max())
    return 10 * math.log10(power) if power > 0 else -math.inf


def silent(pcm: FloatArray) -> bool:
    """Whether nothing in the sound is loud enough to be speech."""
    return loudest(pcm) < _QUIETEST


def doubt(text: str, found: Transcription) -> str | None:
    """Why a free text is not believed ("loop", "unended", "no words", "habit", "guess"); None where it is."""
    bare = " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower()))
    if found.looped:
        return "loop"
    if not found.ended:
        return "unended"
    if not bare or any(mark in text for mark in _MARKS):
        return "no words"
    if bare in HABITS:
        return "habit"
    if mean_log_probability(found) + _WALK * min(walked(found), _FASTEST) < _LEAST:
        return "guess"
    return None


def mean_log_probability(found: Transcription) -> float:
    """Of a token, its end counted."""
    return found.hypothesis.log_probability / (len(found.tokens) + 1)


def walked(found: Transcription) -> float:
    """Seconds of sound from token to token: how far apart the middles of what the first and the last looked at are.
    Of fewer than three tokens nothing can be said: the fastest walk."""
    if len(found.tokens) < 3:
        return _FASTEST
    middles = [middle_of([row]) for row in found.heard]
    return (max(middles) - min(middles)) / (len(middles) - 1)
