"""Tokens to words with times and a confidence.

When each token was heard is told by where the decoder looked: the places are the path through the attention, one
frame a token and never back, whose summed logarithm is the highest (dynamic time warping with a free step forward, as
Whisper's word times are found; Radford et al., arXiv 2212.04356, appendix).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from noctule.lm.speech.moonshine.greedy import Transcription
from noctule.lm.speech.moonshine.rows import FloatArray
from noctule.lm.speech.moonshine.shape import FRAME
from noctule.lm.speech.moonshine.tokenizer import MoonshineTokenizer
from noctule.lm.speech.words import Word

#: seconds after the place of a word's last piece at which it is over, unless another word begins
_PIECE = 0.4


def words_of(text: Transcription, tokenizer: MoonshineTokenizer, seconds: float, offset: float = 0.0) -> list[Word]:
    """The words of a transcription of `seconds` of sound that began at `offset`."""
    groups = _groups(text.tokens, tokenizer)
    if not groups:
        return []
    places = path_of(text.heard[:, : max(1, math.ceil(seconds / FRAME))])
    words = []
    for first, last in groups:
        said = tokenizer.decode(text.tokens[first:last])
        if not said:
            continue
        start = places[first] * FRAME
        end = min(places[last] * FRAME if last < len(places) else seconds, places[last - 1] * FRAME + _PIECE)
        sure = math.exp(sum(text.log_probabilities[first:last]) / (last - first))
        start, end = min(start, seconds), min(max(end, start), seconds)
        words.append(Word(said, offset + start, offset + end, sure))
    return words


def _groups(tokens: tuple[int, ...], tokenizer: MoonshineTokenizer) -> list[tuple[int, int]]:
    """[first, last) of each word: it begins with a space."""
    begins = [i for i, token in enumerate(tokens) if i == 0 or tokenizer.begins_word(token)]
    return [(a, b) for a, b in zip(begins, [*begins[1:], len(tokens)], strict=True) if b > a]


def path_of(heard: FloatArray) -> NDArray[np.int64]:
    """The frame of each token: heard [tokens, frames] → [tokens], never descending."""
    weight = np.log(heard / (heard.sum(axis=0, keepdims=True) + 1e-6) * np.sqrt(heard) + 1e-7)
    best = np.empty_like(weight)
    best[0] = weight[0]
    for i in range(1, len(weight)):
        best[i] = weight[i] + np.maximum.accumulate(best[i - 1])
    places = np.zeros(len(weight), np.int64)
    limit = weight.shape[1]
    for i in range(len(weight) - 1, -1, -1):
        places[i] = int(best[i, :limit].argmax())
        limit = int(places[i]) + 1
    return places
