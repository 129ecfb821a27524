"""Things that are nearly the phrase and must not wake anyone.

Random ones for training (edits in phoneme space, words that begin or end like the phrase's, sub-phrases, swaps,
truncations, one right word among others) and a fixed, ranked list of nearest real words for the report. A word that
is right is said as the phrase itself says it: an engine that reads a respelling otherwise would teach the network
that the engine's own way of saying that word is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from builders.sound.engines import Word
from builders.wake import phonemes
from builders.wake.near_misses import held_out
from builders.wake.phonemes import CONSONANTS, VOWELS, Phones, bare, near

#: an edited phrase is a negative only from this weighted distance on; nearer it is a speaker's variation.
LEAST_DISTANCE = 1.0
#: the distance that one phone dropped or put in makes: near, but another word ('okay abu').
_ONE_GAP = 0.75

Ways = Sequence[Sequence[Phones]]


def _word(phones: Sequence[str]) -> Word:
    return Word(phonemes.respell(phones), tuple(phones))


def _right(words: Sequence[Phones], spelling: Sequence[str], at: int, rng: random.Random) -> Word:
    """Word `at` of the phrase unchanged: by its letters mostly, sometimes by its phonemes, as positives are said."""
    if len(spelling) != len(words):
        return _word(words[at])
    return Word(spelling[at], words[at] if rng.random() < 0.3 else ())


def _syllables(count: int, after: str, rng: random.Random) -> list[str]:
    """Made-up syllables that can follow phone `after` ('' at a beginning)."""
    out: list[str] = []
    for _ in range(count):
        last = out[-1] if out else after
        if not last or phonemes.is_vowel(last) or rng.random() < 0.1:
            out.append(rng.choice(CONSONANTS))
        out.append(rng.choice(VOWELS))
        if rng.random() < 0.35:
            out.append(rng.choice(CONSONANTS))
    return out


def _other_end(word: Phones, rng: random.Random) -> list[str]:
    """A made-up word that begins like this one."""
    kept = list(word[: rng.randrange(1, len(word) + 1)])
    return kept + _syllables(rng.choice((1, 1, 2, 2, 3)), kept[-1], rng)


def _other_beginning(word: Phones, rng: random.Random) -> list[str]:
    """A made-up word that ends like this one."""
    kept = list(word[rng.randrange(0, len(word)) :])
    made = _syllables(rng.choice((1, 1, 1, 2)), "", rng)
    if phonemes.is_vowel(kept[0]) and phonemes.is_vowel(made[-1]):
        made.append(rng.choice(CONSONANTS))
    return made + kept


def _with_other_part(
    words: Sequence[Phones], spelling: Sequence[str], ways: Ways, ending: bool, rng: random.Random
) -> tuple[Word, ...]:
    """The phrase with one word that only begins (`ending`: its end is another) or ends like the right one."""
    for _ in range(20):
        # The end of the phrase is what is said last and decides most; so its last word twice as often.
        at = max(rng.randrange(len(words)), rng.randrange(len(words)))
        made = (_other_end if ending else _other_beginning)(words[at], rng)
        whole = [phone for i, word in enumerate(words) for phone in (made if i == at else word)]
        if phonemes.gap(whole, ways) >= LEAST_DISTANCE:
            break
    return tuple(_word(made) if i == at else _right(words, spelling, i, rng) for i in range(len(words)))


def _edit(words: Sequence[Phones], ways: Ways, need: float, rng: random.Random) -> list[Phones]:
    """Change, drop or insert phones until the weighted distance reaches `need`."""
    edited = [list(word) for word in words]
    for _ in range(60):
        if phonemes.gap([p for word in edited for p in word], ways) >= need:
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
    words: Sequence[Phones],
    vocabulary: Sequence[str],
    close: Sequence[str],
    rng: random.Random,
    spelling: Sequence[str] = (),
    readings: Ways = (),
) -> tuple[Word, ...]:
    """One utterance that is not the phrase.

    `close` are real words that sound like one of the phrase's; `spelling` is the phrase word by word, used where
    it has as many words as are spoken; `readings` are other ways to read the phrase, no confusables either.
    """
    ways = (words, *readings)
    kind, many = rng.random(), len(words) > 1

    def other() -> Word:
        return Word(rng.choice(close if close and rng.random() < 0.5 else vocabulary))

    if many and kind < 0.05:
        return (_right(words, spelling, rng.randrange(len(words)), rng),)
    if many and kind < 0.28:
        at = rng.randrange(len(words))
        rest = [other() for _ in range(rng.choice((1, 1, 2)))]
        right = _right(words, spelling, at, rng)
        return (right, *rest) if at == 0 or rng.random() < 0.2 else (*rest, right)
    if many and kind < 0.31:
        return tuple(_right(words, spelling, at, rng) for at in reversed(range(len(words))))
    if kind < 0.41:
        flat = [(index, phone) for index, word in enumerate(words) for phone in word]
        cut = rng.randrange(max(1, len(flat) // 3), max(2, len(flat) - 1))
        kept = flat[:cut] if rng.random() < 0.6 else flat[-cut:]
        parts = [tuple(p for i, p in kept if i == index) for index in range(len(words))]
        said = [_right(words, spelling, index, rng) if part == tuple(words[index]) else _word(part)
                for index, part in enumerate(parts) if any(bare(p) for p in part)]  # fmt: skip
        return (*said, other()) if rng.random() < 0.5 else tuple(said)
    if close and kind < 0.45:
        return tuple(Word(rng.choice(close)) for _ in range(max(2, len(words))))
    if kind < 0.62:
        return _with_other_part(words, spelling, ways, True, rng)
    if kind < 0.74:
        return _with_other_part(words, spelling, ways, False, rng)
    need = rng.choice((_ONE_GAP, LEAST_DISTANCE, LEAST_DISTANCE, LEAST_DISTANCE, 1.5, 2.0, 3.0))
    edited = _edit(words, ways, need, rng)
    return tuple(
        _right(words, spelling, index, rng) if word == tuple(words[index]) else _word(word)
        for index, word in enumerate(edited)
        if word
    )


def close_words(words: Sequence[Phones], known: dict[str, Phones], count: int) -> list[str]:
    """The real words nearest to any single word of the phrase, the word itself left out."""
    scored = []
    for spelling, phones in known.items():
        gaps = [phonemes.distance(phones, word) / max(2, len(word)) for word in words]
        if min(phonemes.distance(phones, word) for word in words) >= 0.5:
            scored.append((min(gaps), spelling))
    return [spelling for _, spelling in sorted(scored)[:count]]


def kin_words(words: Sequence[Phones], known: dict[str, Phones], count: int) -> list[str]:
    """Up to `count` real words for each word of the phrase that begin or end with its first or last two phones."""
    out: list[str] = []
    for word in words:
        right = [bare(phone) for phone in word]
        found = []
        for spelling, phones in known.items():
            said = [bare(phone) for phone in phones]
            alike = said[:2] == right[:2] or said[-2:] == right[-2:] or said[:1] == right[:1]
            if len(said) > 1 and alike and phonemes.distance(said, right) >= LEAST_DISTANCE:
                pair = said[:2] == right[:2] or said[-2:] == right[-2:]
                found.append((not pair, phonemes.distance(said, right) / len(said), spelling))
        out += [spelling for *_, spelling in sorted(found)[:count]]
    return list(dict.fromkeys(out))


def near_texts(
    phrase: str, ways: Ways, known: dict[str, Phones], nearest: Sequence[str], count: int = 20
) -> list[str]:
    """What calibration counts as near: `nearest` (of `ranked`), and each word's kin in its place, `count` a word.

    `ways`: the readings of the phrase. Without the phrases that the acceptance test holds out.
    """
    parts, words = phrase.lower().split(), ways[0]
    texts = list(nearest)
    if len(parts) == len(words):
        for at, word in enumerate(words):
            others = [[way[at]] for way in ways]
            kin = [item for item in kin_words([word], known, 10_000)
                   if phonemes.gap(known[item], others) >= LEAST_DISTANCE]  # fmt: skip
            texts += [" ".join([*parts[:at], other, *parts[at + 1 :]]) for other in kin[:: max(1, len(kin) // count)]]
    return [text for text in dict.fromkeys(texts) if text.lower() not in held_out()]


def ranked(phrase: str, ways: Ways, known: dict[str, Phones], count: int) -> list[tuple[str, float]]:
    """Nearest utterances made of real words, with their distance to the nearest reading, for the report's table."""
    words = ways[0]
    parts = phrase.lower().split()
    out: dict[str, float] = {}
    candidates = close_words(words, known, 60)
    for index in range(len(parts)):
        for spelling in candidates:
            text = " ".join([*parts[:index], spelling, *parts[index + 1 :]])
            if len(parts) == len(words):
                said = [p for i, word in enumerate(words) for p in (known[spelling] if i == index else word)]
                gap = phonemes.gap(said, ways)
            else:
                gap = phonemes.gap(known[spelling], ways)
            if gap >= LEAST_DISTANCE:
                out[text] = gap
    return sorted(out.items(), key=lambda item: (item[1], item[0]))[:count]
