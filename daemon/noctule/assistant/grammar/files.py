"""Files of phrasings: what the sections of english/*.txt hold. The format is told in template.py."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from noctule.assistant.grammar.template import Sequenced, TemplateError, parse, parse_alternatives

ENGLISH = Path(__file__).parent / "english"
_CONSTANT = re.compile(r"([a-z_]+)=(\S+)")


@dataclass(frozen=True)
class Phrasing:
    """One line of an action. text: the template as written, without marks and call; constants: argument -> value;
    plain: "!", question: "?"."""

    action: str
    text: str
    parts: Sequenced
    constants: tuple[tuple[str, str], ...] = ()
    plain: bool = False
    question: bool = False
    where: str = ""


@dataclass
class Phrasings:
    """Everything some files hold. lists: name -> (value, the ways it is spoken)."""

    lines: list[Phrasing] = field(default_factory=list)
    rules: dict[str, list[Sequenced]] = field(default_factory=dict)
    lists: dict[str, list[tuple[str, tuple[str, ...]]]] = field(default_factory=dict)

    def add(self, text: str, name: str) -> None:
        """The lines of one file. name: for errors. Raises TemplateError, which names file and line."""
        title = ""
        for number, line in enumerate(text.splitlines(), 1):
            line, where = line.strip(), f"{name}:{number}"
            if not line or line.startswith("#"):
                continue
            if line.startswith("= "):
                title = line[2:].strip()
            elif not title:
                raise TemplateError(f"{where}: a line before the first section (= NAME)")
            elif title.startswith("<"):
                self.rules.setdefault(title[1:-1], []).extend(parse_alternatives(line, where))
            elif title.startswith("{"):
                self.lists.setdefault(title[1:-1], []).append(entry(line))
            else:
                self.lines.append(phrasing(title, line, where))


def entry(line: str) -> tuple[str, tuple[str, ...]]:
    """A list's line: "WDR 3 | w d r three" -> the value and the ways it is spoken, the value itself without any."""
    value, *spoken = (piece.strip() for piece in line.split("|"))
    return value, tuple(piece for piece in spoken if piece) or (value,)


def phrasing(action: str, line: str, where: str) -> Phrasing:
    """A line of an action's section. Raises TemplateError."""
    left, arrow, right = line.partition("=>")
    if arrow and any(_CONSTANT.fullmatch(item) is None for item in right.split()):
        raise TemplateError(f'{where}: "{right.strip()}": after => stand arguments, each name=value')
    marks, text = left[: len(left) - len(left.lstrip("!?"))], left.lstrip("!?").strip()
    constants = tuple((m[1], m[2]) for m in map(_CONSTANT.fullmatch, right.split()) if m is not None)
    return Phrasing(action, text, parse(text, where), constants, "!" in marks, "?" in marks, where)


def load(paths: Iterable[Path]) -> Phrasings:
    """Read these files into one. Raises TemplateError."""
    found = Phrasings()
    for path in paths:
        found.add(path.read_text(encoding="utf-8"), path.name)
    return found


def english() -> Phrasings:
    """The shipped phrasings."""
    return load(sorted(ENGLISH.glob("*.txt")))


def rules_and_lists() -> Phrasings:
    """The shipped rules and kinds alone, without the actions' lines: what the owner's phrases may use."""
    return load([ENGLISH / name for name in ("courtesies.txt", "kinds.txt")])
