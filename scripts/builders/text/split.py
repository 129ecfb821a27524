"""Which lines, topics, mutations and slot values are for training, validation and test.

Whole lines are held out: for each data file, action and set of arguments, a seventh for test and a fourteenth for
validation, drawn by a hash of the line itself. Adding a file never moves a line of another. The files trained_….txt
are for training alone, so that the test stays what it was however much they grow.

Lines of different parts may meet in the same sentence. `Fence` keeps it out of all parts but one: a sentence that a
plain line gives is trained on and never asked; one that a line of the test gives is never trained on, whichever line
it came from; and so on down to validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from builders.text.expand import Template, covering, files, parse_action_lines, parse_outside_lines, sections

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """A template with what it means. topic: the out-of-domain topic, or the action's name."""

    template: Template
    action: str
    topic: str
    refusal: str = ""
    file: str = ""


@dataclass(frozen=True)
class Topic:
    """A line of thought that is out of domain; part: which one it belongs to whole ("train": divided by lines)."""

    name: str
    refusal: str
    part: Part


def topics() -> list[tuple[Topic, list[str], str]]:
    """Every topic with its lines and the file it is in."""
    found = []
    for file in files("outside"):
        for title, lines in sections(file).items():
            name, refusal, *rest = title.split()
            part: Part = "test" if rest == ["test"] else "validation" if rest == ["validation"] else "train"
            found.append((Topic(name, refusal, part), lines, file))
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
    for file in files("phrasings"):
        for action, lines in sections(file).items():
            groups: dict[str, list[Template]] = {}
            for template in parse_action_lines(lines):
                # "status" divides by what is asked, "timer.set" by which arguments are said.
                groups.setdefault(" ".join("=".join(item) for item in template.call), []).append(template)
            for group in groups.values():
                for part, template in _divide(group):
                    parts[part].append(Source(template, action, action, file=file))
    for file in files("trained_phrasings"):
        for action, lines in sections(file).items():
            parts["train"] += [Source(found, action, action, file=file) for found in parse_action_lines(lines)]
    return parts


def outside_sources() -> dict[Part, list[Source]]:
    """Templates of everything else, by part: whole topics, and lines of the topics that are trained on."""
    parts: dict[Part, list[Source]] = {part: [] for part in PARTS}
    for topic, lines, file in topics():
        templates = parse_outside_lines(lines)
        divided = _divide(templates) if topic.part == "train" else ((topic.part, template) for template in templates)
        for part, template in divided:
            parts[part].append(Source(template, "none", topic.name, topic.refusal, file))
    for file in files("trained_outside"):
        for title, lines in sections(file).items():
            name, refusal = title.split()
            parts["train"] += [Source(found, "none", name, refusal, file) for found in parse_outside_lines(lines)]
    return parts


class Fence:
    """Which sentences a part must leave to another; see the module's docstring."""

    def __init__(self, part: Part, sources: dict[Part, list[Source]]) -> None:
        self.part = part
        above: dict[Part, list[Part]] = {"train": ["test", "validation"], "validation": ["test"], "test": []}
        lines: dict[str, list[str]] = {}
        for source in (source for other in above[part] for source in sources[other]):
            lines.setdefault(source.action, []).append(source.template.line)
        if part != "train":
            for source in sources["train"]:
                if source.template.plain:
                    lines.setdefault(source.action, []).append(source.template.line)
        self._forms = {action: covering(found) for action, found in lines.items()}
        self._known: dict[tuple[str, str], bool] = {}

    def keeps_out(self, source: Source, form: str) -> bool:
        """True when the sentence with the skeleton `form`, drawn from `source`, is another part's."""
        if self.part == "train" and source.template.plain:
            return False
        key = (source.action, form)
        if key not in self._known:
            if len(self._known) > 200_000:
                self._known.clear()
            pattern = self._forms.get(source.action)
            self._known[key] = pattern is not None and pattern.fullmatch(form) is not None
        return self._known[key]
