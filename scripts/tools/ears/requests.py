"""Requests to be spoken, and the grammar that has never seen them."""

from __future__ import annotations

import re
from functools import cache, partial
from itertools import count
from random import Random

from builders.text import slots
from builders.text.expand import drawn, expand, macros
from builders.text.split import Part, action_sources
from noctule.assistant.actions.declared import LONGEST_CLIP, LONGEST_TIMER, SPECS
from noctule.assistant.grammar.files import Phrasing, english
from noctule.assistant.grammar.grammar import Grammar

#: what a synthesiser reads letter by letter, and people do not say
_WRITTEN = re.compile(r"\d[a-z]|\b(?:hrs?|h|mins?|m|secs?|s)\b|%")


def draw(part: Part, number: int, seed: int) -> list[tuple[str, str]]:
    """(sentence, action) from the templates of one part of the brain's split, actions in turn, no two alike."""
    rng = Random(f"spoken/{part}/{seed}")
    by_action: dict[str, list[str]] = {}
    for source in action_sources()[part]:
        by_action.setdefault(source.action, []).append(source.template.line)
    actions = sorted(by_action)
    found: dict[str, str] = {}
    for at in count():
        if len(found) >= number or at > 50 * number:
            break
        action = actions[at % len(actions)]
        fill = partial(_fill, rng=rng, action=action)
        text = "".join(piece.text for piece in expand(rng.choice(by_action[action]), fill, rng))
        text = " ".join(text.split())
        if not _WRITTEN.search(text):
            found.setdefault(text, action)
    return list(found.items())


def _fill(slot: str, rng: Random, action: str) -> str:
    """A slot's words, real ones: a made-up name cannot be spelled by ear."""
    if slot in ("d", "c"):
        return slots.duration(rng, True, int(LONGEST_CLIP if slot == "c" else LONGEST_TIMER))
    if slot == "p":
        return slots.percentage(rng, True)
    if slot == "s":
        return slots.step(rng, True)
    pools = {"name": slots.NAMES[::5], "task": slots.TASKS[::5], "weekday": slots.WEEKDAYS}
    return slots.clock(rng) if slot == "clock" else rng.choice(pools[slot])


@cache
def held_out_lines() -> frozenset[tuple[str, str]]:
    """(action, template) of the lines that the brain is tested with, or its thresholds were chosen with."""
    sources = action_sources()
    return frozenset((s.action, s.template.line) for part in ("test", "validation") for s in sources[part])


def _seen(line: Phrasing) -> bool:
    spelled = drawn(line.text, line.action).partition("=>")[0].strip()
    return (line.action, _expanded(spelled)) not in held_out_lines()


def _expanded(line: str) -> str:
    return re.sub(r"<([a-z]+)>", lambda match: macros()[match.group(1)], line)


def grammar_without_the_test() -> Grammar:
    """The shipped grammar without the lines that are held out for testing."""
    return Grammar(english(), SPECS, keep=_seen)
