"""The data files and their little template language (see the heads of data/*.txt).

The phrasings of the actions, and the rules they use, are the daemon's own (noctule.assistant.grammar.template tells
their language): what trains the brain is what the recogniser listens for. Here they are read as templates to draw
from, in the older spelling of the data files, whose hash decides which lines are held out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from noctule.assistant.grammar.files import ENGLISH

DATA = Path(__file__).parent / "data"

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([a-z]+)\}")
_MACRO = re.compile(r"<([a-z]+)>")


#: how a slot of the phrasings is called here
_DRAWN = {"duration": "d", "level": "p", "step": "s", "name:task": "task", "clock:time": "clock"}
#: the order in which a call names its arguments
_ORDER = ("level", "step", "duration", "name")
_SLOT_HERE = re.compile(r"\{([a-z_]+(?::[a-z_]+)?)(?::[^{}]*)?\}")


def _read(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    title = ""
    folder = ENGLISH if name.startswith(("phrasings", "trained_phrasings")) else DATA
    for line in (folder / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            title = line[2:]
            found.setdefault(title, [])
        elif line and not line.startswith("#"):
            found[title].append(line if folder == DATA else drawn(line, title))
    return found


def drawn(line: str, action: str) -> str:
    """A line of the phrasings as the data files spell it: [a|b] for (a|b), [a|] for [a], "=> duration=$d"."""
    left, _, right = line.partition("=>")
    names = {"duration": "c"} if action == "clip" else {}
    given = {}

    def slot(match: re.Match[str]) -> str:
        said = match[1]
        here = names.get(said) or _DRAWN.get(said) or said.rpartition(":")[2]
        argument = said.partition(":")[0]
        if argument in _ORDER:
            given[argument] = here
        return f"{{{here}}}"

    text = _SLOT_HERE.sub(slot, left.strip()).replace("]", "|]")
    text = text.replace("(", "[").replace(")", "]")
    call = [*right.split(), *(f"{name}=${given[name]}" for name in _ORDER if name in given)]
    return f"{text} => {' '.join(call)}".rstrip()


@cache
def macros() -> dict[str, str]:
    """Name -> "[a|b|…]" of every rule of the phrasings."""
    found: dict[str, list[str]] = {}
    for line in (ENGLISH / "rules.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("= <"):
            lines = found.setdefault(line[3:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return {name: f"[{'|'.join(lines)}]" for name, lines in found.items()}


def sections(name: str) -> dict[str, list[str]]:
    """The sections of data/`name` ("= title", then its lines), in their order; "#" lines are comments.

    <names> of macros are replaced by the choices they stand for. KeyError for an unknown one.
    """
    known = macros()
    return {
        title: [_MACRO.sub(lambda match: known[match.group(1)], line) for line in lines]
        for title, lines in _read(name).items()
    }


def files(kind: str) -> list[str]:
    """Names of the data files of a kind: "phrasings" -> phrasings.txt first, then phrasings_….txt."""
    return sorted(path.name for folder in (DATA, ENGLISH) for path in folder.glob(f"{kind}*.txt"))


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
    text = line
    # Innermost choices first: a choice may be among the alternatives of another.
    while "[" in text:
        text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
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


# Slots that look alike in a sentence share a letter; a sentence is lower case, so capitals are free for them.
_LETTER = {"d": "D", "c": "D", "p": "P", "s": "P", "name": "N", "task": "N"}
_UNIT = re.compile(r"\{([a-z]+)\}|\s+|[\[\]|]|.")
_SYNTAX = {"[": "(?:", "]": ")", "|": "|"}


def skeleton(pieces: Iterable[Piece]) -> str:
    """A sentence without spaces and with its slots as letters: what two sentences of one form have in common."""
    return "".join(_LETTER.get(piece.slot, "S") if piece.slot else "".join(piece.text.split()) for piece in pieces)


def spelled(pieces: Iterable[Piece]) -> str:
    """The same, but only the slots that become arguments are letters: another line may say "noon" itself."""
    return "".join(_LETTER.get(piece.slot) or "".join(piece.text.split()) for piece in pieces)


def covering(lines: Iterable[str]) -> re.Pattern[str]:
    """Matches in full the skeletons of everything that `lines` may be expanded to."""

    def form(match: re.Match[str]) -> str:
        if match.group(1):
            return _LETTER.get(match.group(1), "S")
        text = match.group()
        return "" if text.isspace() else _SYNTAX.get(text) or re.escape(text)

    return re.compile("|".join(_UNIT.sub(form, line) for line in lines) or r"(?!)")
