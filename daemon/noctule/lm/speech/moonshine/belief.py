"""What is not believed: texts that the model writes for sound in which nobody speaks.

It was trained on speech and writes something for every sound: "You" for silence, clicks, knocks, noise and tones,
surer of it than of most commands; notes for hum; the same phrase over and over for sound that ends in a word. Its own
probabilities do not tell these from speech, so they are known by what they are.
"""

from __future__ import annotations

import math
import re

import numpy as np

from noctule.lm.speech.moonshine.greedy import Transcription
from noctule.lm.speech.moonshine.rows import FloatArray
from noctule.lm.speech.moonshine.shape import RATE

#: whole texts that stand for "nobody spoke"; a person who says just that has not asked for anything
HABITS = frozenset({"you", "the", "and", "i", "a", "oh", "uh", "um", "hmm", "mm", "thank you", "bye", "so", "but"})
#: the loudest tenth of a second must reach this, in decibels of full scale: a whisper at arm's length does
_QUIETEST = -55.0
_BLOCK = RATE // 10
#: mean log-probability of a token below which free text is a guess
_LEAST = -1.6


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
    if not bare:
        return "no words"
    if bare in HABITS:
        return "habit"
    if mean_log_probability(found) < _LEAST:
        return "guess"
    return None


def mean_log_probability(found: Transcription) -> float:
    """Of a token, its end counted."""
    return found.hypothesis.log_probability / (len(found.tokens) + 1)
