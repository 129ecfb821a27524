"""Things that are nearly the phrase and must not wake anyone.

Random ones for training (edits in phoneme space, sub-phrases, swaps, truncations, one right word among others) and
a fixed, ranked list of nearest real words for the report.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from . import phonemes
from .engines import Word
from .phonemes import CONSONANTS, VOWELS, Phones, bare, near

#: an edited phrase is a negative only from this weighted distance on; nearer it is a speaker's variation.
LEAST_DISTANCE = 1.0


def _word(phones: Sequence[str]) -> Word:
    return Word(phonemes.respell(phones), tuple(phones))


def _edit(words: Sequence[Phones], need: float, rng: random.Random) -> list[Phones]:
    """Change, drop or insert phones until the weighted distance reaches `need`."""
    edited = [list(word) for word in words]
    flat = [phone for word in words for phone in word]
    for _ in range(60):
        if phonemes.distance([p for word in edited for p in word], flat) >= need:
            break
        word = rng.choice([item for item in edited if item])
        at = rng.randrange(len(word))
        mark = word[at][: len(word[at]) - len(bare(word[at]))]
        kind = rng.random()
        vowel = phonemes.is_vowel(word[at])
        if kind < 0.72:
            close = sorted(near(bare(word[at])))
            pool = close if close and rng.random() < 0.35 else (VOWELS if vowel else CONSONANTS)
            word[at] = mark + rng.choice(pool)
        elif kind < 0.86 and len(word) > 2:
            del word[at]
        else:
            word.insert(at, rng.choice(CONSONANTS if vowel else VOWELS))
    return [tuple(word) for word in edited]


def random_confusable(
    words: Sequence[Phones], vocabulary: Sequence[str], close: Sequence[str], rng: random.Random
) -> tuple[Word, ...]:
    """One utterance that is not the phrase. `close` are real words that sound like one of the phrase's."""
    kind, many = rng.random(), len(words) > 1

    def other() -> Word:
        return Word(rng.choice(close if close and rng.random() < 0.4 else vocabulary))

    if many and kind < 0.10:
        return (_word(rng.choice(words)),)
    if many and kind < 0.34:
        at = rng.randrange(len(words))
        rest = [other() for _ in range(rng.choice((1, 1, 2)))]
        return (_word(words[at]), *rest) if at == 0 or rng.random() < 0.2 else (*rest, _word(words[at]))
    if many and kind < 0.40:
        return tuple(_word(word) for word in reversed(words))
    if kind < 0.52:
        flat = [(index, phone) for index, word in enumerate(words) for phone in word]
        cut = rng.randrange(max(1, len(flat) // 3), max(2, len(flat) - 1))
        kept = flat[:cut] if rng.random() < 0.6 else flat[-cut:]
        parts = [tuple(p for i, p in kept if i == index) for index in range(len(words))]
        said = [_word(part) for part in parts if any(bare(p) for p in part)]
        return (*said, other()) if rng.random() < 0.5 else tuple(said)
    if close and kind < 0.60:
        return tuple(Word(rng.choice(close)) for _ in range(max(2, len(words))))
    need = rng.choice((LEAST_DISTANCE, LEAST_DISTANCE, 1.5, 2.0, 3.0))
    return tuple(_word(word) for word in _edit(words, need, rng) if word)


def close_words(words: Sequence[Phones], known: dict[str, Phones], count: int) -> list[str]:
    """The real words nearest to any single word of the phrase, the word itself left out."""
    scored = []
    for spelling, phones in known.items():
        gaps = [phonemes.distance(phones, word) / max(2, len(word)) for word in words]
        if min(phonemes.distance(phones, word) for word in words) >= 0.5:
            scored.append((min(gaps), spelling))
    return [spelling for _, spelling in sorted(scored)[:count]]


def ranked(phrase: str, words: Sequence[Phones], known: dict[str, Phones], count: int) -> list[tuple[str, float]]:
    """Nearest utterances made of real words, with their distance, for the report's table."""
    flat = [phone for word in words for phone in word]
    parts = phrase.lower().split()
    out: dict[str, float] = {}
    candidates = close_words(words, known, 60)
    for index in range(len(parts)):
        for spelling in candidates:
            text = " ".join([*parts[:index], spelling, *parts[index + 1 :]])
            if len(parts) == len(words):
                said = [p for i, word in enumerate(words) for p in (known[spelling] if i == index else word)]
                gap = phonemes.distance(said, flat)
            else:
                gap = phonemes.distance(known[spelling], flat)
            if gap >= LEAST_DISTANCE:
                out[text] = gap
    return sorted(out.items(), key=lambda item: (item[1], item[0]))[:count]
