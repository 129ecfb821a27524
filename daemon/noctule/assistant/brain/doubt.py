"""When to refuse rather than act: what a package says about its own doubts. Pure.

Three signs speak against a call: the model gave the action little probability; the request has words that no phrasing
of that action has ("check my blood pressure" is no request for the board's temperature); or words that no phrasing of
any action has ("stop the war"). The manifest of an action model holds a threshold for each, and the words:

    "x_actions": {"threshold": 0.4,
                  "foreign": {"threshold": 0.9, "common": ["please", …], "words": {"stop": ["stop", …], …}},
                  "unfamiliar": {"threshold": 0.99, "words": ["set", "a", …]}}

A call is refused below `threshold`; below `foreign.threshold` when the request has a word that is neither common nor
one of the action's; and below `unfamiliar.threshold` when it has one of no action. Words of the call's arguments and
of numbers do not count. `foreign` and `unfamiliar` may be left out. All of it is chosen on validation data when the
package is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noctule.assistant.actions.registry import Call
from noctule.assistant.phrases.numbers import duration, percentage, spans
from noctule.assistant.phrases.request import Request, read
from noctule.core.checked_json import JsonNode

#: Shorter words are too close to too many others for a typing mistake to be told from another word.
_LONG = 4


@dataclass(frozen=True)
class Doubt:
    """Least probability of the action to act on: threshold always, foreign with words that are not the action's own,
    unfamiliar with words of no action.

    words: of all actions; own: action -> its words and the common ones.
    """

    threshold: float = 0.0
    unfamiliar: float = 0.0
    words: frozenset[str] = frozenset()
    foreign: float = 0.0
    own: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def refuses(self, call: Call, request: Request, probability: float) -> bool:
        """True when the call should not be carried out."""
        if probability < self.threshold:
            return True
        if probability < self.foreign and has_unfamiliar(request, call, self.own.get(call.action, frozenset())):
            return True
        return probability < self.unfamiliar and has_unfamiliar(request, call, self.words)


def has_unfamiliar(request: Request, call: Call, words: frozenset[str]) -> bool:
    """True when a word outside the call's arguments and outside numbers is none of `words`, nor a slip of one."""
    if not words:
        return False
    texts = request.texts
    ours = [text in words for text in texts]
    for value in call.arguments.values():
        _cover(ours, texts, read(value.text).texts)
    for parser in (duration, percentage):
        for span in spans(texts, parser):
            ours[span.start : span.end] = [True] * (span.end - span.start)
    return not all(known or _slip(text, words) for known, text in zip(ours, texts, strict=True))


def _cover(ours: list[bool], texts: Sequence[str], part: Sequence[str]) -> None:
    """Mark where `part` stands in `texts`, every time."""
    size = len(part)
    for at in range(len(texts) - size + 1):
        if size and tuple(texts[at : at + size]) == tuple(part):
            ours[at : at + size] = [True] * size


def _slip(text: str, words: frozenset[str]) -> bool:
    """True when one letter too many, too few, wrong or swapped separates `text` from a word we know."""
    return len(text) >= _LONG and not words.isdisjoint(_one_edit(text))


def _one_edit(text: str) -> Iterable[str]:
    letters = "abcdefghijklmnopqrstuvwxyz'"
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        yield from (head + letter + tail for letter in letters)


def read_doubt(where: str, actions: Any) -> Doubt:
    """The manifest's x_actions; ModelError when it makes no sense. where: for the error."""
    table = JsonNode(where, "x_actions", actions)
    threshold = table.get("threshold").number(0, 1)
    unfamiliar, words = 0.0, frozenset[str]()
    section = table.get("unfamiliar")
    if section:
        unfamiliar, words = section.get("threshold").number(0, 1), _words(section.get("words"))
    foreign, own = 0.0, dict[str, frozenset[str]]()
    section = table.get("foreign")
    if section:
        foreign, common = section.get("threshold").number(0, 1), _words(section.get("common"))
        own = {name: common | _words(found) for name, found in section.get("words", {}).table().items()}
    return Doubt(threshold, unfamiliar, words, foreign, own)


def _words(node: JsonNode) -> frozenset[str]:
    return frozenset(word.text() for word in node.items())
