"""Which of several wordings a recogniser offers is taken: the one whose meaning is likeliest. Pure.

Wordings that differ in a word often ask for the same thing, and garbled ones for nothing. What was meant has the
probability that its wordings have together, each as far as the model believes in the call: the sum of
P(wording | sound) P(call | wording). Minimum Bayes risk over calls instead of words, after V. Goel and W. Byrne,
*Minimum Bayes-risk automatic speech recognition* (Computer Speech and Language 14, 2000).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """What a wording asks for: a call, comparable, or None for nothing; and how sure the brain is of that."""

    call: Hashable | None
    probability: float = 1.0


@dataclass(frozen=True)
class Taken:
    """index: the wording; sure: probability of its meaning, None where meanings cannot be told."""

    index: int
    sure: float | None


def elect(texts: Sequence[str], shares: Sequence[float], meanings: Sequence[Meaning]) -> Taken:
    """The likeliest wording of the likeliest meaning.

    texts: an empty one stands for silence, and is never taken; at least one must not be empty. shares: probabilities
    of the wordings beside each other. What a call lacks in probability belongs to "nothing".
    """
    votes: dict[Hashable | None, float] = {}
    for share, meaning in zip(shares, meanings, strict=True):
        sure = 1.0 if meaning.call is None else meaning.probability
        votes[meaning.call] = votes.get(meaning.call, 0.0) + share * sure
        votes[None] = votes.get(None, 0.0) + share * (1 - sure)
    whole = sum(votes.values()) or 1.0
    order = sorted((i for i, text in enumerate(texts) if text), key=lambda i: -shares[i])
    wanted = max(votes, key=lambda call: votes[call])
    # Where "nothing" wins without a wording of its own, the likeliest words are taken at what they are worth.
    index = next((i for i in order if meanings[i].call == wanted), order[0])
    silent = sum(share for text, share in zip(texts, shares, strict=True) if not text)
    sure = votes[meanings[index].call] - (silent if meanings[index].call is None else 0.0)
    return Taken(index, sure / whole)
