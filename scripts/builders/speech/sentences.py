"""Sentences to be spoken: requests of the default brain, other requests, and strings of words.

Templates and slot values are those of the text model (`tiny`), with the same division: a line that is held out
there is never spoken in training here. Everything is written as it is said: lower case, numbers in words.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from builders.text import slots
from builders.text.expand import expand, sections
from builders.text.generate import Generator
from builders.text.mutate import courtesies, decorate, mutate
from builders.text.slots import in_words
from builders.text.split import PARTS, Part, action_sources

_UNITS = {
    "hr": "hour", "hrs": "hours", "h": "hours", "min": "minutes", "mins": "minutes", "m": "minutes",
    "sec": "seconds", "secs": "seconds", "s": "seconds",
}  # fmt: skip
_SPLIT = re.compile(r"(?<=\d)(?=[a-z])|(?<=[a-z])(?=\d)")
_TIME = re.compile(r"\b(\d{1,2}):(\d{2})\b")
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_WORDS = Path(__file__).resolve().parents[1] / "wake" / "words_en.txt"
#: the longest utterance, in words.
LONGEST = 12


def number(value: int) -> str:
    """0 … 999 as it is said."""
    return in_words(value, Random(value)).replace("-", " ")


def spoken(text: str) -> str:
    """A request as it may be typed → the words that are said; raises ValueError for what cannot be said here."""
    text = text.lower().replace("\u2019", "'")
    text = _TIME.sub(lambda m: f" {m[1]} {m[2]} " if m[2] != "00" else f" {m[1]} o'clock ", text)
    text = _DECIMAL.sub(lambda m: f"{m[1]} point {' '.join(m[2])}", text)
    text = _SPLIT.sub(" ", text.replace("%", " percent ").replace("-", " ").replace("per cent", "percent"))
    words: list[str] = []
    for word in re.sub(r"[^a-z0-9' ]", " ", text).split():
        if word.isdigit():
            if int(word) > 999:
                raise ValueError(f"{word} is too large to be said here")
            words += number(int(word)).split()
        elif word in _UNITS and words and words[-1] != "i":
            one = words[-1] == "one" and (len(words) < 2 or words[-2] not in slots._TENS)
            words.append(_UNITS[word].rstrip("s") if one else _UNITS[word])
        elif word.strip("'"):
            words.append(word.strip("'"))
    return " ".join(words)


@dataclass(frozen=True)
class Sentence:
    """text: the words; kind: "action", "outside" or "words"; action: what the brain should do, "none" outside;
    arguments: the call's, as words of the request."""

    text: str
    kind: str
    action: str = "none"
    arguments: tuple[tuple[str, str], ...] = ()


def general_words() -> list[str]:
    """Common English words, sorted."""
    found: set[str] = set()
    for line in _WORDS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            found.update(spoken(line.partition(":")[2]).split())
    return sorted(found)


@functools.cache
def held_out_lines() -> frozenset[str]:
    """Fixed lines of the other parts, as they are said: a choice of a training line may spell one out, too."""
    sources = action_sources()
    lines = {part: {s.template.line for s in sources[part] if not set("[{") & set(s.template.line)} for part in PARTS}
    return frozenset(spoken(line) for part in PARTS if part != "train" for line in lines[part] - lines["train"])


@functools.cache
def vocabulary() -> frozenset[str]:
    """The words of the requests (with those of every slot value, held out or not) and of everyday English.

    Names that the text model's templates make up on the spot are told apart by their being rare.
    """
    words = set(general_words())
    for values in sections("values.txt").values():
        words.update(word for value in values for word in spoken(value).split())
    counted: Counter[str] = Counter()
    draws = Sentences.__new__(Sentences)
    draws._part, draws._rng = "train", Random("speech/vocabulary")
    draws._generator = Generator("train", 0)
    for _ in range(20000):
        found = draws._action() if draws._rng.random() < 0.6 else draws._outside()
        if found is not None:
            counted.update(set(found.text.split()))
    return frozenset(words | {word for word, count in counted.items() if count >= 4})


class Sentences:
    """Draws sentences of one part of the split; the same part and seed give the same sentences."""

    def __init__(self, part: Part, seed: int) -> None:
        self._part: Part = part
        self._rng = Random(f"speech/{part}/{seed}")
        self._generator = Generator(part, seed)
        self._numbers = [number(n) for n in range(101)]
        self._courtesies = [spoken(item) for item in courtesies()]
        self._known = vocabulary()
        self._words = sorted(self._known)

    def _action(self, plain: bool = False) -> Sentence | None:
        """A request for an action, as people say it; None when the draw cannot be said. plain: only in one of the
        plainest ways to ask, which are never held out."""
        generator, rng = self._generator, self._generator.rng
        sources = generator.actions[self._part]
        by_action = generator.by_action
        if plain:
            by_action = {}
            for source in generator.actions["train"]:
                if source.template.plain:
                    by_action.setdefault(source.action, []).append(source)
        even = plain or rng.random() < 0.5
        source = rng.choice(by_action[rng.choice(sorted(by_action))]) if even else rng.choice(sources)
        pieces = expand(source.template.line, generator._fill, rng)
        if any(piece.slot == "name" and not piece.text for piece in pieces):
            return None
        values = {piece.slot: piece.text for piece in pieces if piece.slot}
        if not plain or rng.random() < 0.3:
            pieces = decorate(pieces, source.template.question, self._part, rng)
        try:
            text = spoken("".join(piece.text for piece in pieces))
            arguments = tuple(
                (name, spoken(values[value[1:]]) if value.startswith("$") else value)
                for name, value in source.template.call
            )
        except ValueError:
            return None
        return Sentence(text, "action", source.action, arguments)

    def _outside(self) -> Sentence | None:
        """A request for something else."""
        generator, rng = self._generator, self._generator.rng
        if rng.random() < 0.2:
            source = rng.choice(generator.actions[self._part])
            pieces = expand(source.template.line, generator._fill, rng)
            text, _, _ = mutate("".join(piece.text for piece in pieces), source, self._part, rng)
        else:
            source = rng.choice(generator.by_topic[rng.choice(sorted(generator.by_topic))])
            text = "".join(piece.text for piece in expand(source.template.line, generator._fill, rng))
        try:
            return Sentence(spoken(text), "outside")
        except ValueError:
            return None

    def _string(self) -> Sentence:
        """A string of words without grammar, so that words are learned and not sentences."""
        rng = self._rng
        chosen: list[str] = []
        for _ in range(rng.randint(1, 6)):
            draw = rng.random()
            pool = self._numbers if draw < 0.35 else self._courtesies if draw < 0.45 else self._words
            chosen.append(rng.choice(pool))
        return Sentence(" ".join(chosen), "words")

    def _pieced(self) -> Sentence | None:
        """Neighbouring words of some sentences in a row: the sounds of requests, but not their order, so that they
        cannot be known by heart."""
        rng = self._rng
        chosen: list[str] = []
        for _ in range(rng.randint(2, 4)):
            if rng.random() < 0.25:
                chosen += rng.choice(self._words).split()
                continue
            found = self._action() if rng.random() < 0.75 else self._outside()
            words = found.text.split() if found is not None else []
            if not words:
                return None
            count = rng.randint(1, min(4, len(words)))
            first = rng.randrange(len(words) - count + 1)
            chosen += words[first : first + count]
        return Sentence(" ".join(chosen[:LONGEST]), "words")

    def stream(
        self, action: float = 0.62, words: float = 0.2, plain: bool = False, mixed: bool = False
    ) -> Iterator[Sentence]:
        """Sentences without end; what remains of the shares are requests for something else. plain: only the
        plainest requests for actions; mixed: mostly words out of order."""
        while True:
            draw = self._rng.random()
            if plain:
                found = self._action(plain=True)
            elif mixed:
                found = self._pieced() if draw < 0.5 else self._string() if draw < 0.8 else self._action()
            else:
                found = (
                    self._action() if draw < action else self._string() if draw < action + words else self._outside()
                )
            if found is None or not 1 <= len(found.text.split()) <= LONGEST:
                continue
            if self._part == "train" and found.text in held_out_lines():
                continue
            # made-up names cannot be spelled by ear: a few are kept, so that a word never heard is spelled at all
            if not set(found.text.split()) <= self._known and self._rng.random() > 0.12:
                continue
            yield found
