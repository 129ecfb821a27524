"""The data files and their little template language (see the heads of data/*.txt)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

DATA = Path(__file__).parent / "data"

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z]+)\}")


def sections(name: str) -> dict[str, list[str]]:
    """The sections of data/`name` ("= title", then its lines), in their order; "#" lines are comments."""
    found: dict[str, list[str]] = {}
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            found[line[2:]] = []
        elif line and not line.startswith("#"):
            found[next(reversed(found))].append(line)
    return found


@dataclass(frozen=True)
class Piece:
    """Some text of an expanded line; slot: which slot it filled, or "" for the line's own words."""

    text: str
    slot: str = ""


@dataclass(frozen=True)
class Template:
    """One line. question: not an imperative; plain: never held out; call: argument -> constant or "$slot"."""

    line: str
    question: bool
    call: tuple[tuple[str, str], ...]
    plain: bool = False


def parse_action_lines(lines: list[str]) -> list[Template]:
    """The templates of an action: "line => argument=value …"."""
    templates = []
    for line in lines:
        left, arrow, right = line.partition("=>")
        if not arrow:
            raise ValueError(f"no => in {line!r}")
        arguments = []
        for item in right.split():
            name, _, value = item.partition("=")
            arguments.append((name, value))
        marks, line = left[: len(left) - len(left.lstrip("!?"))], left.lstrip("!?").strip()
        templates.append(Template(line, "?" in marks, tuple(arguments), "!" in marks))
    return templates


def parse_outside_lines(lines: list[str]) -> list[Template]:
    """The templates of a topic; none has a call."""
    return [Template(line.strip(), True, ()) for line in lines]


def expand(line: str, fill: Callable[[str], str], rng: Random) -> list[Piece]:
    """Draw one sentence: each [choice] by chance, each {slot} from `fill`."""
    text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), line)
    pieces: list[Piece] = []
    end = 0
    for match in _SLOT.finditer(text):
        if match.start() > end:
            pieces.append(Piece(text[end : match.start()]))
        pieces.append(Piece(fill(match.group(1)), match.group(1)))
        end = match.end()
    if end < len(text):
        pieces.append(Piece(text[end:]))
    return pieces
