"""What people put around a request, what goes wrong in it, and how a request turns into something else."""

from __future__ import annotations

import string
from random import Random

from builders.text import slots
from builders.text.expand import Piece, sections
from builders.text.split import Part, Source

_AROUND = sections("around.txt")


def _heads(name: str) -> list[str]:
    """Entries that stand before a request, each with the space after it."""
    return [f"{item} " for item in _AROUND[name]]


def _tails(name: str) -> list[str]:
    """Entries that stand after a request, each with the space before it."""
    return [f" {item}" for item in _AROUND[name]]


_BEFORE_IMPERATIVE, _BEFORE_QUESTION, _BEFORE_TEST = map(
    _heads, ("before imperative", "before question", "before test")
)
_HELD_OUT = {
    "test": (_BEFORE_TEST, _tails("after test")),
    "validation": (_heads("before validation"), _tails("after validation")),
}
_AFTER = _tails("after")
_OPENINGS, _ADDRESSES, _CLOSINGS = _heads("openings"), _heads("addresses"), _tails("closings")
_NEGATIONS, _NEGATIONS_TEST = map(_heads, ("negations", "negations test"))
_HOW, _HOW_TEST = map(_heads, ("how", "how test"))
_OTHERS, _OTHERS_TEST = map(_heads, ("others", "others test"))
_ELSEWHERE, _ELSEWHERE_TEST = map(_tails, ("elsewhere", "elsewhere test"))
#: word -> what a recogniser may write in its place
_MISHEARD = {word: others.split(", ") for word, others in (line.split(": ") for line in _AROUND["misheard"])}
_REPORT_HEADS, _REPORT_TAILS = _heads("heads of reports"), _tails("tails of reports")
_FILLERS = ["uh", "um", "like", "you know", "er", "well", "so"]
_SMALL = {"a", "the", "for", "me", "my", "to", "of", "is", "an", "on"}


def courtesies() -> list[str]:
    """What is put before or after the requests that are trained on, hesitations, and the function words."""
    return [
        *_BEFORE_IMPERATIVE,
        *_BEFORE_QUESTION,
        *_AFTER,
        *_FILLERS,
        *_OPENINGS,
        *_ADDRESSES,
        *_CLOSINGS,
        *_AROUND["function"],
    ]


def decorate(pieces: list[Piece], question: bool, part: Part, rng: Random, rich: float = 0.0) -> list[Piece]:
    """Put "please", "can you", "hey noctule" … around a request, or nothing (half of the time).

    rich: the share of requests that get less common courtesies.
    """
    if rng.random() < rich:
        return _decorate_richly(pieces, question, rng)
    draw = rng.random()
    if draw < 0.5:
        return pieces
    before, after = (_BEFORE_QUESTION if question else _BEFORE_IMPERATIVE), _AFTER
    if part != "train" and rng.random() < 0.5:
        before, after = _HELD_OUT[part]
        # The first two of each list want an imperative after them.
        before = before[2 if question else 0 :]
    decorated = pieces
    if draw < 0.85:
        decorated = [Piece(rng.choice(before)), *decorated]
    if draw > 0.75:
        decorated = [*decorated, Piece(rng.choice(after))]
    return decorated


def _decorate_richly(pieces: list[Piece], question: bool, rng: Random) -> list[Piece]:
    """One of many more courtesies, or a name, before, after, or both: what is around a request says little."""
    draw = rng.random()
    decorated = pieces
    if draw < 0.65:
        pool = _ADDRESSES if question or rng.random() < 0.4 else _OPENINGS
        head = rng.choice(pool)
        if rng.random() < 0.2:
            head = f"{rng.choice(['', 'hey ', 'okay ', 'my '])}{slots.pseudo_word(rng)} "
        decorated = [Piece(head), *decorated]
    if draw > 0.4:
        tail = f" {slots.pseudo_word(rng)}" if rng.random() < 0.1 else rng.choice(_CLOSINGS)
        decorated = [*decorated, Piece(tail)]
    return decorated


def disturb(pieces: list[Piece], rng: Random) -> list[Piece]:
    """Typing and hearing mistakes, hesitation and dropped small words, in an eighth of the requests; slots stay
    whole.
    """
    draw = rng.random()
    if draw > 0.125:
        return pieces
    changed = []
    for piece in pieces:
        if piece.slot:
            changed.append(piece)
            continue
        words = piece.text.split(" ")
        real = [index for index, word in enumerate(words) if word]
        if real:
            index = rng.choice(real)
            if draw < 0.03:
                words[index] = _typo(words[index], rng)
            elif draw < 0.06:
                words[index] = f"{words[index]} {rng.choice(_FILLERS)}"
            elif draw < 0.08 and words[index] in _SMALL:
                del words[index]
            elif draw >= 0.08 and draw < 0.09:
                words[index] = f"{words[index]} {words[index]}"
            elif draw >= 0.09 and len(real) > 2:
                heard = [at for at in real if words[at] in _MISHEARD]
                for at in heard[:2]:
                    words[at] = rng.choice(_MISHEARD[words[at]])
        changed.append(Piece(" ".join(words)))
    return changed


def _typo(word: str, rng: Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1 :]


# Only these make sense "on my phone"; "how hot is the cpu on the oven" would be nobody's request.
_ELSEWHERE_ACTIONS = {"timer.set", "volume.set", "volume.up", "volume.down", "volume.mute", "mute", "snapshot"}
#: "don't mute", "never stop" and the like mean too many things to be held against the model.
_NOT_MUTATED = {"stop", "help"}


# What the actions are about. With another thing in its place a request asks for nothing we can do.
_THINGS = frozenset(_AROUND["our things"])
_OTHER_THINGS, _OTHER_THINGS_TEST = _AROUND["other things"], _AROUND["other things test"]


def other_thing(text: str, part: Part, rng: Random) -> str | None:
    """`text` with every one of our things replaced by another, or None when it names none."""
    words = text.split()
    if not any(word in _THINGS for word in words):
        return None
    thing = rng.choice(_OTHER_THINGS_TEST if part == "test" else _OTHER_THINGS)
    if part != "test" and rng.random() < 0.25:
        thing = slots.pseudo_word(rng)
    changed: list[str] = []
    for word in words:
        if word not in _THINGS:
            changed.append(word)
        elif not changed or changed[-1] != thing:
            changed.append(thing)
    return " ".join(changed)


def _report(text: str, test: bool, rng: Random) -> str:
    """Let somebody else have said it."""
    person = rng.choice(slots.PERSONS)
    if test or rng.random() < 0.3:
        head = rng.choice(
            [
                f"{person} asked ",
                f"ask {person} ",
                "i wrote down ",
                f"i told {person} ",
                "the next question was ",
                f"they shouted at {person} ",
            ]
        )
        return f"{head}{text}"
    if rng.random() < 0.25:
        return text + rng.choice(_REPORT_TAILS)
    return rng.choice(_REPORT_HEADS) + text


def mutate(text: str, source: Source, part: Part, rng: Random) -> tuple[str, str, str]:
    """Turn a request for an action into something that asks for none. -> (text, refusal, topic)."""
    test = part == "test"
    # Where a name may stand, another thing is one: "how long is left on the pizza" still asks for a timer.
    if rng.random() < 0.4 and source.action not in ("stop", "help", "time", "date", "timer.set", "timer.list"):
        changed = other_thing(text, part, rng)
        if changed is not None:
            return changed, "unable", "mutated: another thing"
    if source.action == "time" and rng.random() < 0.5:
        return f"{text} in {rng.choice(slots.CITIES)}", "knowledge", "mutated: elsewhere"
    if source.template.question or source.action in _NOT_MUTATED or rng.random() < 0.1:
        return _report(text, test, rng), "unable", "mutated: reported"
    kinds = ["negation", "how", "others"] + (["elsewhere"] * 2 if source.action in _ELSEWHERE_ACTIONS else [])
    kind = rng.choice(kinds)
    if kind == "negation":
        return rng.choice(_NEGATIONS_TEST if test else _NEGATIONS) + text, "negation", "mutated: negation"
    if kind == "how":
        return rng.choice(_HOW_TEST if test else _HOW) + text, "writing", "mutated: how and why"
    if kind == "others":
        return rng.choice(_OTHERS_TEST if test else _OTHERS) + text, "unable", "mutated: others"
    return text + rng.choice(_ELSEWHERE_TEST if test else _ELSEWHERE), "devices", "mutated: elsewhere"


_SALAD = _AROUND["salad"]


def salad(part: Part, rng: Random) -> str:
    """Words without sense: common ones, made-up ones, or both."""
    length = rng.randint(1, 9)
    invented = rng.choice([0.0, 0.3, 1.0])
    # A salad of words that do sound like a request would be mislabelled: keep at least three common words.
    if invented < 1.0:
        length = max(length, 4)
    return " ".join(slots.pseudo_word(rng) if rng.random() < invented else rng.choice(_SALAD) for _ in range(length))
