"""Where in a TOML file each key stands. `tomllib` reads values but keeps no positions, and an error without a line
number sends its reader searching; so this finds lines, and only lines: values are tomllib's business.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*(?P<name>[^\[\]#]+?)\s*\]\]?\s*(#.*)?$")
_ONE = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_ASSIGN = re.compile(rf"^\s*(?P<name>{_ONE}(?:\s*\.\s*{_ONE})*)\s*=")
_PART = re.compile(_ONE)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
#: what a section's own name may not have: it is shown, logged, and part of addresses.
_ODD = re.compile(r'[\x00-\x1f\x7f/"\\]')


def split_name(name: str) -> tuple[str, ...]:
    """The parts of a dotted TOML name, quotes removed."""
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PART.findall(name))


def odd_name(name: str) -> bool:
    """Whether a section [sources.NAME] or [commands.NAME] may not be called so."""
    return not name.strip() or len(name) > 60 or _ODD.search(name) is not None


def dotted_name(*parts: str) -> str:
    """The parts as one dotted TOML name, quoted where they must be; `split_name` takes it apart again."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in parts)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """(section, …, key) -> 1-based line, for every table header and assignment outside multi-line values."""
    lines: dict[tuple[str, ...], int] = {}
    prefix: tuple[str, ...] = ()
    skipper = _Skipper()
    for number, line in enumerate(text.splitlines(), 1):
        if skipper.inside:
            skipper.feed(line)
            continue
        if header := _HEADER.match(line):
            prefix = split_name(header["name"])
            lines.setdefault(prefix, number)
        elif assign := _ASSIGN.match(line):
            lines.setdefault(prefix + split_name(assign["name"]), number)
            skipper.feed(line[assign.end() :])
    return lines


class _Skipper:
    """Follows values over several lines: multi-line strings, and arrays or inline tables left open."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0

    @property
    def inside(self) -> bool:
        return bool(self._quote) or self._depth > 0

    def feed(self, text: str) -> None:
        i = 0
        while i < len(text):
            if self._quote:
                if self._quote[0] == '"' and text[i] == "\\":
                    i += 2
                elif text.startswith(self._quote, i):
                    i += len(self._quote)
                    self._quote = ""
                else:
                    i += 1
                continue
            char = text[i]
            if char == "#":
                return
            if char in "\"'":
                self._quote = char * 3 if text.startswith(char * 3, i) else char
                i += len(self._quote)
                continue
            self._depth = max(0, self._depth + (char in "[{") - (char in "]}"))
            i += 1
        if len(self._quote) == 1:  # a one-line string ends with its line, closed or not
            self._quote = ""
