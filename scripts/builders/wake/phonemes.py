"""Phonemes of a phrase, how far two of them are apart, and whether the phrase makes a good wake word.

Written in espeak-ng's own mnemonics (`espeak-ng -x`): they can be spoken again inside [[ ]]. Classes and spellings
cover English; a mnemonic they do not know counts as its own class, so other languages work with coarser distances.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import cache

from builders.sound.engines import espeak

Phones = tuple[str, ...]

_VOWEL_LIST = "a aa A: A@ E e@ eI I i i: I2 0 O: O@ oU U u: V 3: @ aI aU OI"
_CONSONANT_LIST = "p b t d k g tS dZ f v T D s z S h m n N l r j w"
VOWELS = tuple(_VOWEL_LIST.split())
CONSONANTS = tuple(_CONSONANT_LIST.split())
_CLASSES = (
    "p b", "t d", "k g", "tS dZ S", "f v T", "T D", "s z", "m n N", "l r", "j w", "A: A@ aa 0 V a", "E e@ eI a",
    "i i: I I2", "O: O@ oU 0", "U u:", "aI OI aU", "@ 3: V I2",
)  # fmt: skip
_SPELLING = {
    "a": "a", "aa": "a", "A:": "ah", "A@": "ar", "E": "e", "e@": "air", "eI": "ay", "I": "i", "I2": "i", "i": "y",
    "i:": "ee", "0": "o", "O:": "aw", "O@": "or", "oU": "oh", "U": "oo", "u:": "oo", "V": "u", "3:": "er", "3": "er",
    "@": "a", "aI": "eye", "aU": "ow", "OI": "oy", "tS": "ch", "dZ": "j", "T": "th", "D": "th", "S": "sh", "Z": "zh",
    "N": "ng", "j": "y", "@L": "ul", "h": "h",
}  # fmt: skip
#: words that many sentences contain; a phrase made only of these would be heard all day.
_COMMON_LIST = (
    "a about all and are as at be but by can do for from get go good have he hello her here hey hi how i if in is it "
    "just know like me my no not now of off okay on one or out right say see she so some that the then there they "
    "thing this time to up was we well what when which who will with yes you your computer"
)
_COMMON = frozenset(_COMMON_LIST.split())


def bare(phone: str) -> str:
    """A mnemonic without stress and pause marks."""
    return phone.lstrip("',%=_|")


def is_vowel(phone: str) -> bool:
    return bare(phone)[:1] in set("aAeEiIoO0uUV3@") if bare(phone) else False


#: vowels that no stress falls on.
_SWALLOWED = frozenset({"@", "3", "I2", "i", "a#", "@L", "@2", "@5"})


@cache
def near(phone: str) -> frozenset[str]:
    """Phones that are easily taken for this one."""
    out: set[str] = set()
    for group in _CLASSES:
        if phone in group.split():
            out.update(group.split())
    return frozenset(out - {phone})


def parse(output: str) -> list[Phones]:
    """espeak's `-x --sep=' '` output as words of mnemonics, stress kept."""
    clean = output.replace("_:", " ").replace("\n", "  ").strip()
    return [tuple(word.split()) for word in re.split(r"\s{2,}", clean) if word.strip()]


def pronounce(text: str, language: str) -> list[Phones]:
    """The phrase as espeak says it, word by word (words it joins come as one)."""
    return parse(espeak.phonemes(text, language))


def pronounce_many(words: Sequence[str], language: str) -> dict[str, Phones]:
    """Pronunciations of many single words by few calls of espeak; words it splits or joins are left out."""
    found: dict[str, Phones] = {}
    for start in range(0, len(words), 400):
        part = words[start : start + 400]
        lines = espeak.phonemes("\n".join(f"{word}." for word in part), language).splitlines()
        if len(lines) == len(part):
            for word, line in zip(part, lines, strict=True):
                parsed = parse(line)
                if len(parsed) == 1:
                    found[word] = parsed[0]
    return found


def distance(left: Sequence[str], right: Sequence[str]) -> float:
    """Weighted edit distance: 0 same, 0.5 for a phone of the same class, 0.75 a gap, 1 another phone."""
    a, b = [bare(p) for p in left if bare(p)], [bare(p) for p in right if bare(p)]
    row = [0.75 * j for j in range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], 0.75 * i
        for j, y in enumerate(b, 1):
            cost = 0.0 if x == y else 0.5 if y in near(x) else 1.0
            previous, row[j] = row[j], min(previous + cost, row[j] + 0.75, row[j - 1] + 0.75)
    return row[-1]


def readings(words: Sequence[Phones], spelling: Sequence[str], ordinary: Container[str]) -> list[tuple[Phones, ...]]:
    """The ways in which people may read the phrase, `words` first.

    A made-up word has no stress that everybody knows: whoever stresses another syllable swallows the vowel of this
    one ("nabu" as n'A:bu: or n@b'u:, "noctule" as n'0ktju:l or n@ktj'u:l). A vowel at the end of a word stays.
    And an h before a word is weak in many mouths and missing in some ("'ey").
    `ordinary`: words that everybody stresses alike.
    """
    base = tuple(tuple(word) for word in words)
    out = [base]
    if len(spelling) != len(words):
        return out
    for at, (word, letters) in enumerate(zip(words, spelling, strict=True)):
        vowels = [index for index, phone in enumerate(word) if is_vowel(phone) and bare(phone) not in _SWALLOWED]
        if letters.lower() in ordinary or letters.lower() in _COMMON:
            continue
        for stressed in vowels:
            said = [bare(phone) if is_vowel(phone) else phone for phone in word]
            for index in vowels:
                plain = bare(word[index])
                swallowed = index != stressed and index != len(word) - 1
                said[index] = "@" if swallowed else f"'{plain}" if index == stressed else plain
            if distance(said, word) >= 0.5:
                out.append((*base[:at], tuple(said), *base[at + 1 :]))
    weak = [tuple(word[1:] if bare(word[0]) == "h" else word for word in way) for way in out]
    return list(dict.fromkeys([*out, *weak]))


def gap(said: Sequence[str], ways: Sequence[Sequence[Phones]]) -> float:
    """Distance to the nearest reading of the phrase."""
    return min(distance(said, [phone for word in way for phone in word]) for way in ways)


def respell(phones: Sequence[str]) -> str:
    """An English spelling that engines without espeak's mnemonics will say about right."""
    return "".join(_SPELLING.get(bare(phone), re.sub(r"[^a-z]", "", bare(phone).lower())) for phone in phones)


def warnings(phrase: str, words: Sequence[Phones]) -> list[str]:
    """What is wrong with a phrase as a wake word, in plain sentences; shown before anything is trained."""
    flat = [bare(phone) for word in words for phone in word if bare(phone)]
    syllables = sum(is_vowel(phone) for phone in flat)
    out = []
    if len(flat) < 6:
        out.append(f"'{phrase}' has only {len(flat)} phonemes; 6 or more are heard reliably and confused less")
    if syllables < 3:
        out.append(f"'{phrase}' has only {syllables} syllables; 3 or more are much safer")
    if all(word in _COMMON for word in phrase.lower().split()):
        out.append(f"'{phrase}' is made of everyday words; it will be said without meaning the assistant")
    if len(set(flat)) < max(3, len(flat) // 2):
        out.append(f"'{phrase}' repeats few sounds; noise resembles it more easily")
    if len(flat) > 20:
        out.append(
            f"'{phrase}' is long ({len(flat)} phonemes); said slowly it may outlast the model's 1.9 s of memory"
        )
    return out
