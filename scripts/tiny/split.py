"""Which lines, topics, mutations and slot values are for training, validation and test.

Whole lines are held out: for each action and each set of arguments, a seventh for test and a fourteenth for
validation, drawn by a hash of the line itself. Adding a line elsewhere never moves another line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tiny.expand import Template, parse_action_lines, parse_outside_lines, sections

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """A template with what it means. topic: the out-of-domain topic, or the action's name."""

    template: Template
    action: str
    topic: str
    refusal: str = ""


@dataclass(frozen=True)
class Topic:
    """A line of thought that is out of domain; part: which one it belongs to whole ("train": divided by lines)."""

    name: str
    refusal: str
    part: Part


def topics() -> list[tuple[Topic, list[str]]]:
    """Every topic with its lines."""
    found = []
    for title, lines in sections("outside.txt").items():
        name, refusal, *rest = title.split()
        part: Part = "test" if rest == ["test"] else "validation" if rest == ["validation"] else "train"
        found.append((Topic(name, refusal, part), lines))
    return found


def _draw(line: str) -> float:
    return int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "big") / 2**64


def _divide(templates: list[Template]) -> Iterator[tuple[Part, Template]]:
    """Hold out a seventh for test and a fourteenth for validation, at least one and none of very small groups."""
    size = len(templates)
    ranked = sorted((t for t in templates if not t.plain), key=lambda template: _draw(template.line))
    test = 0 if size < 5 else max(1, round(size / 7))
    validation = 0 if size < 8 else max(1, round(size / 14))
    yield from (("train", template) for template in templates if template.plain)
    for index, template in enumerate(ranked):
        yield ("test" if index < test else "validation" if index < test + validation else "train"), template


def action_sources() -> dict[Part, list[Source]]:
    """Templates of the declared actions, by part."""
    parts: dict[Part, list[Source]] = {part: [] for part in PARTS}
    for action, lines in sections("phrasings.txt").items():
        groups: dict[str, list[Template]] = {}
        for template in parse_action_lines(lines):
            # "status" divides by what is asked, "timer.set" by which arguments are said.
            groups.setdefault(" ".join("=".join(item) for item in template.call), []).append(template)
        for group in groups.values():
            for part, template in _divide(group):
                parts[part].append(Source(template, action, action))
    return parts


def outside_sources() -> dict[Part, list[Source]]:
    """Templates of everything else, by part: whole topics, and lines of the topics that are trained on."""
    parts: dict[Part, list[Source]] = {part: [] for part in PARTS}
    for topic, lines in topics():
        templates = parse_outside_lines(lines)
        if topic.part != "train":
            parts[topic.part].extend(Source(template, "none", topic.name, topic.refusal) for template in templates)
            continue
        for part, template in _divide(templates):
            parts[part].append(Source(template, "none", topic.name, topic.refusal))
    return parts
