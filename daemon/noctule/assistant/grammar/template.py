"""The template language: one line stands for every way to say one thing. Pure.

It is the language of Home Assistant's intent sentences (https://github.com/home-assistant/hassil):

    words             themselves; case and punctuation do not count
    (on|off)          one of these
    [please]          this or nothing; [a|an] one of these or nothing
    <rule>            one of the alternatives that are listed under this name
    {name}            a slot: what is said there becomes the argument `name`
    {name:kind}       the same, of this kind: number, percent, duration, time, day, weekday, name, task, text,
                      or the name of a list
    {name:number:5..30}   with bounds, both included (number, percent: as they are; duration: seconds)

Without a kind a slot is of the kind the action declares for its argument `name`, else of the list or the kind called
`name`. A slot whose name is no argument of the action is heard and not passed on.

A file of phrasings (english/*.txt, UTF-8; "#" begins a comment line) has sections:

    = timer.set                    an action; below it one template a line
    (set|start) [a] timer for {duration}
    !{duration} timer
    ?how long is left => which=all

    = <set>                        a rule; its lines, and the | in them, are its alternatives
    set|start|create
    put on

    = {city}                       a list; a line is a value and, after |, how it is spoken
    New York | new york | new york city

Before a line "!" marks a plain way to ask (always trained on, never held out) and "?" a question or a statement
(nobody says "please can you" before it). After "=>" stand arguments with a fixed value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noctule.core.errors import InputError


class TemplateError(InputError):
    """A template that cannot be read: "FILE:LINE: what is wrong", one sentence."""


@dataclass(frozen=True)
class Text:
    """Words, as they are written."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """One of `options`; an empty sequence among them stands for nothing."""

    options: tuple[Sequenced, ...]


@dataclass(frozen=True)
class Rule:
    """One of the alternatives listed under `name`."""

    name: str


@dataclass(frozen=True)
class Slot:
    """kind: "" for the one declared elsewhere; low, high: bounds, both included."""

    name: str
    kind: str = ""
    low: float | None = None
    high: float | None = None


Part = Text | Choice | Rule | Slot
Sequenced = tuple[Part, ...]

_TOKEN = re.compile(r"\{([^{}]*)\}|<([^<>]*)>|([()\[\]|])|([^\s()\[\]|<>{}]+)|\s+|(.)", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SLOT = re.compile(r"([a-z][a-z0-9_]*)(?::([a-z][a-z0-9_]*)(?::(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?))?)?")
_CLOSING = {"(": ")", "[": "]"}
#: how deep groups may stand in each other, and how long a template may be
_DEEPEST, _LONGEST = 12, 2000


def parse(line: str, where: str = "") -> Sequenced:
    """The parts of one template. where: "FILE:LINE", for the error. Raises TemplateError."""
    return _whole(line, where, alternatives=False)[0]


def parse_alternatives(line: str, where: str = "") -> tuple[Sequenced, ...]:
    """A rule's line: templates separated by |. Raises TemplateError."""
    return _whole(line, where, alternatives=True)


def _whole(line: str, where: str, *, alternatives: bool) -> tuple[Sequenced, ...]:
    def wrong(what: str) -> TemplateError:
        shown = line if len(line) <= 60 else line[:57] + "..."
        return TemplateError(f'{where}{": " if where else ""}"{shown}": {what}')

    if len(line) > _LONGEST:
        raise wrong(f"is {len(line)} characters long, a template has at most {_LONGEST}")
    # one frame for each open group: its bracket, the finished options, the parts of the option at hand
    frames: list[tuple[str, list[Sequenced], list[Part]]] = [("", [], [])]
    for match in _TOKEN.finditer(line):
        slot, rule, mark, word, stray = match.groups()
        parts = frames[-1][2]
        if stray:
            raise wrong(f"{stray} has no counterpart")
        if word:
            _add_word(parts, word)
        elif slot is not None:
            parts.append(_slot(slot, wrong))
        elif rule is not None:
            if not _NAME.fullmatch(rule):
                raise wrong(f"<{rule}> is no name of a rule: lower-case letters, digits and _")
            parts.append(Rule(rule))
        elif mark in _CLOSING:
            if len(frames) > _DEEPEST:
                raise wrong(f"groups stand more than {_DEEPEST} deep in each other")
            frames.append((mark, [], []))
        elif mark == "|":
            if len(frames) == 1 and not alternatives:
                raise wrong("| stands outside ( ) and [ ]")
            frames[-1][1].append(tuple(parts))
            parts.clear()
        elif mark:
            opened, options, last = frames.pop()
            if _CLOSING.get(opened) != mark:
                raise wrong(f"{mark} closes no group" if not opened else f"{opened} is closed by {mark}")
            options.append(tuple(last))
            if opened == "[" and () not in options:
                options.append(())
            frames[-1][2].append(Choice(tuple(options)))
    opened, options, last = frames[-1]
    if opened:
        raise wrong(f"{opened} is not closed")
    return (*options, tuple(last))


def _add_word(parts: list[Part], word: str) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Text):
        parts[-1] = Text((*last.words, word))
    else:
        parts.append(Text((word,)))


def _slot(text: str, wrong: Callable[[str], TemplateError]) -> Slot:
    match = _SLOT.fullmatch(text)
    if match is None:
        raise wrong(f"{{{text}}} is no slot: {{name}}, {{name:kind}} or {{name:kind:low..high}}")
    name, kind, low, high = match.groups()
    if low is not None and float(low) > float(high):
        raise wrong(f"{{{text}}}: the lower bound is above the upper one")
    return Slot(name, kind or "", None if low is None else float(low), None if high is None else float(high))


def slots(parts: Sequence[Part]) -> list[Slot]:
    """Every slot of a template, those inside groups included, in their order."""
    found: list[Slot] = []
    for part in parts:
        if isinstance(part, Slot):
            found.append(part)
        elif isinstance(part, Choice):
            found += [slot for option in part.options for slot in slots(option)]
    return found


def hollow(parts: Sequence[Part]) -> bool:
    """Whether a template may be said without a word."""
    return all(
        not any(re.search(r"\w", word) for word in part.words)
        if isinstance(part, Text)
        else any(hollow(option) for option in part.options)
        if isinstance(part, Choice)
        else False
        for part in parts
    )
