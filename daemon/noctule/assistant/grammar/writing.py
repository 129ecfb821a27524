"""How a recogniser writes the grammar's words: capitals, "%", "a.m.", and hyphens. Pure."""

from __future__ import annotations

_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_MONTHS = "january february march april june july august september october november december"
_NAMES = frozenset(f"{_DAYS} {_MONTHS} noctule english celsius christmas".split())
_I = ("i", "i'm", "i'd", "i'll", "i've")
_HALVES = {"am": ("a.m", "AM", "A.M"), "pm": ("p.m", "PM", "P.M")}


def ways(word: str, first: bool) -> list[tuple[str, bool]]:
    """(text, joined to what stands before it) of every way to write a word; first: it begins the sentence."""
    if word == "percent":
        return [("%", True), ("percent", False)]
    if word in _HALVES:
        return [(text, joined) for text in (word, *_HALVES[word]) for joined in (False, True)]
    if word in _I:
        return [("I" + word[1:], False)]
    found = [(word, False)]
    if first or word in _NAMES:
        found.append((word[:1].upper() + word[1:], False))
    if len(word) == 1 and word.isalpha() and word != "a":
        found.append((word.upper(), False))
        found.append((word.upper(), True))  # "WDR", where each letter is a word of its own
    if not first and word.isalpha() and len(word) > 2:
        found.append((f"-{word}", True))  # "twenty-five", "a five-minute timer", "a double-shot espresso"
    if word == "o'clock":
        found.append(("o'clock", True))
    return found
