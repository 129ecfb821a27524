"""Text for negative speech, offline: everyday sentences from a small grammar, and Python's own manual.

The two halves of the manual never mix: training and calibration read one, acceptance tests the other.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

_WORDS = Path(__file__).with_name("words_en.txt")
_TEMPLATES = (
    "{v} the {a} {n} in the {n}", "could you {v} my {n} please", "I think the {n} was {a} {t}",
    "{w} did you {v} the {n} {t}", "we {v} {a} {n} and {a} {n}", "they said {w} the {n} is {a}",
    "there are {d} {n} near the {n}", "okay so {t} we {v} the {n}", "hey {p} did you {v} the {n}",
    "no {p} that {n} is {a}", "{p} and {p} {v} the {n} {t}", "{d} {n} or {d} {n}", "it is {d} past {d} {t}",
    "let me {v} {d} {a} {n}", "oh the {n} {w} we {v} it", "play some {a} {n} by {p}", "{v} it {t} {p}",
    "hello {p} how is the {n}", "well {t} I {v} {p} about the {n}", "the {a} {a} {n} can {v}",
)  # fmt: skip


@cache
def word_lists() -> dict[str, tuple[str, ...]]:
    """Word classes of `words_en.txt`: lines of `class: word word …`."""
    lists: dict[str, tuple[str, ...]] = {}
    for line in _WORDS.read_text(encoding="utf-8").splitlines():
        if ":" in line and not line.startswith("#"):
            name, words = line.split(":", 1)
            lists[name.strip()] = lists.get(name.strip(), ()) + tuple(words.split())
    return lists


def everyday(rng: random.Random) -> str:
    """One sentence as people say them at home."""
    template = rng.choice(_TEMPLATES)
    return re.sub(r"\{(\w)\}", lambda m: rng.choice(word_lists()[m.group(1)]), template)


@cache
def manual() -> tuple[str, ...]:
    """Sentences of 4 to 30 words from Python's manual (`pydoc_data.topics`), in a fixed shuffled order."""
    from pydoc_data.topics import topics

    text = re.sub(r"\n(?!\n)", " ", "\n\n".join(topics[key] for key in sorted(topics)))
    out = []
    for piece in re.split(r"(?<=[.!?;:])\s+|\n\n", text):
        sentence = re.sub(r"\s+", " ", re.sub(r"[^A-Za-z ,.']", " ", piece)).strip()
        if 4 <= len(sentence.split()) <= 30:
            out.append(sentence)
    random.Random(5).shuffle(out)
    return tuple(out)


def sentence(part: str, rng: random.Random) -> str:
    """Text to speak as a negative; `part` is 'train', 'calibrate' or 'accept', which share no manual sentences."""
    if rng.random() < 0.4:
        return everyday(rng)
    return rng.choice(_sentences(part))


@cache
def _sentences(part: str) -> tuple[str, ...]:
    """The manual's sentences of one part. The manual repeats itself: what an earlier part has is left out."""
    names = ("train", "calibrate", "accept")
    third = len(manual()) // 3
    shares = [manual()[at * third : (at + 1) * third] for at in range(3)]
    index = names.index(part)
    earlier = {text for share in shares[:index] for text in share}
    return tuple(text for text in shares[index] if text not in earlier)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that the corpus can say, sorted."""
    words = {word for words in word_lists().values() for word in words}
    words.update(w.lower() for s in manual() for w in s.split() if w.isalpha() and len(w) > 2)
    return tuple(sorted(words))
