"""Free text: the likeliest token at every step, with what it was worth, and a loop cut off.

A recogniser of this kind repeats itself when it has nothing more to hear. Nobody says three times in a row what takes
more than a word; a text that ends so, or that reaches the cap of what can be said in the time, is marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from noctule.lm.speech.moonshine.model import EncodedUtterance
from noctule.lm.speech.moonshine.rows import FloatArray, RowDecoder
from noctule.lm.speech.moonshine.shape import FRAME

#: tokens a second that the fastest speech needs, and those that any utterance may have
_PER_SECOND, _LEAST = 6.5, 4
#: a phrase of at most so many tokens, so often in a row, is a loop
_LONGEST_PHRASE, _REPEATS = 12, 3
#: seconds from one to the next, for each of its tokens, at which it was really said again
_AGAIN = 0.06


@dataclass(frozen=True)
class Hypothesis:
    """One reading: its tokens without the end, and the natural logarithm of their probability with the end."""

    tokens: tuple[int, ...]
    log_probability: float


@dataclass(frozen=True)
class Transcription:
    """Free text. log_probabilities: of each token; ended: the model wrote its end; looped: what followed was a loop
    and is cut off; nodes: of the tokens' parents in `decoder`, by which a search can go on from any place; heard: for
    each token how much it attended to each frame [tokens, frames]."""

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    end_log_probability: float
    ended: bool
    looped: bool
    nodes: tuple[int, ...]
    decoder: RowDecoder = field(repr=False, compare=False)
    heard: FloatArray = field(repr=False, compare=False)
    #: what might have followed each of the first tokens [vocab], as many as were to be kept
    ahead: tuple[FloatArray, ...] = field(default=(), repr=False, compare=False)

    @property
    def hypothesis(self) -> Hypothesis:
        return Hypothesis(self.tokens, sum(self.log_probabilities) + self.end_log_probability)


def most_tokens(seconds: float) -> int:
    """The most tokens that so much speech can have."""
    return math.ceil(_PER_SECOND * seconds) + _LEAST


def greedy(utterance: EncodedUtterance, *, token_cap: int | None = None, keep: int = 0) -> Transcription:
    """The likeliest text token by token; at most `token_cap` of them, by default what the seconds allow. keep: of how
    many of the first steps the scores are kept, so that a search can begin there."""
    decoder = utterance.decoder()
    bos, eos = utterance.tokenizer.bos, utterance.tokenizer.eos
    most = min(most_tokens(utterance.seconds) if token_cap is None else token_cap, decoder.slots - 1)
    tokens: list[int] = []
    worth: list[float] = []
    nodes: list[int] = []
    heard: list[FloatArray] = []
    ahead: list[FloatArray] = []
    token, parent, end, ended, looped = bos, -1, 0.0, False, False
    while True:
        scores, (parent,) = decoder.step([token], [parent], [len(tokens)])
        nodes.append(parent)
        if len(ahead) < keep:
            ahead.append(scores[0].copy())
        token = int(scores[0].argmax())
        if token == eos:
            end, ended = float(scores[0, eos]), True
            break
        if len(tokens) >= most:
            break
        tokens.append(token)
        worth.append(float(scores[0, token]))
        heard.append(decoder.heard[0])
        if repeats := _loop(tokens, heard):
            del tokens[-repeats:], worth[-repeats:], heard[-repeats:]
            looped = True
            break
    frames = np.array(heard, np.float32).reshape(len(tokens), -1)
    return Transcription(
        tuple(tokens), tuple(worth), end, ended, looped, tuple(nodes[: len(tokens) + 1]), decoder, frames,
        tuple(ahead),
    )  # fmt: skip


def _loop(tokens: list[int], heard: list[FloatArray]) -> int:
    """How many tokens at the end repeat what stands before them without having been heard again, 0 when they do not:
    a person who says a thing three times is looked at in three places."""
    for size in range(1, _LONGEST_PHRASE + 1):
        # a single token is said again in "no no no" and "two two two": only longer runs of it are a loop
        times = _REPEATS if size > 2 else 6
        if len(tokens) < size * times:
            continue
        phrase = tokens[-size:]
        if all(tokens[-size * (n + 1) : -size * n] == phrase for n in range(1, times)):
            step = (middle_of(heard[-size:]) - middle_of(heard[-size * times : -size * (times - 1)])) / (times - 1)
            return size * (times - 1) if step < _AGAIN * size else 0
    return 0


def middle_of(heard: Sequence[FloatArray]) -> float:
    """Seconds at which the middle of what was attended to lies: rows of [frames]."""
    weight = np.sum(heard, axis=0)
    return float((weight * np.arange(len(weight))).sum() / (weight.sum() + 1e-9)) * FRAME
