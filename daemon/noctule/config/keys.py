"""How a setting is declared, and how a value is held against its declaration. Knows nothing of any setting."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Key:
    """What is known of one setting besides its name, type and default.

    comment: one sentence for the shipped file; live: a reload applies it without a restart; minimum, maximum:
    inclusive bounds of a number (for text and lists: of its length); choices: the allowed words.
    """

    comment: str
    live: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def key(
    default: Any,
    comment: str,
    *,
    live: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a setting; use as the default of a dataclass field."""
    about = {"key": Key(comment, live, minimum, maximum, choices)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


def key_of(item: dataclasses.Field[Any]) -> Key:
    """The declaration behind a dataclass field."""
    declared = item.metadata["key"]
    assert isinstance(declared, Key)
    return declared


def keys_of(section: Any) -> dict[str, tuple[Any, dataclasses.Field[Any]]]:
    """name -> (type, field) of a section class, in declaration order."""
    hints = typing.get_type_hints(section)
    return {item.name: (hints[item.name], item) for item in dataclasses.fields(section)}


def default_of(item: dataclasses.Field[Any]) -> Any:
    """The default value of a declared setting."""
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
}


def check(kind: Any, about: Key, value: Any, base: Path) -> tuple[Any, str]:
    """Hold `value` against the declaration: (typed value, "") or (None, what is wrong).

    A relative path is taken from `base`, the folder of the file it stands in. `~` is not expanded: a service
    has no home.
    """
    if kind == list[str] or kind == list[Path]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return None, f'must be a list of text, such as ["a", "b"], not {_show(value)}'
        typed: Any = [_path(item, base) for item in value] if kind == list[Path] else list(value)
        return _bounded(about, typed, len(typed), "entries")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    wanted = str if kind is Path else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        return None, f"must be {_NAMES[kind]}, not {_show(value)}"
    if about.choices and value not in about.choices:
        return None, f"must be one of {', '.join(about.choices)}, not {_show(value)}"
    if kind is Path:
        return _path(value, base), ""
    if kind is str:
        return _bounded(about, value, len(value), "characters")
    if kind is bool:
        return value, ""
    return _bounded(about, value, float(value), "")


def plain(number: float) -> str:
    """A bound as people write it: 1048576, not 1.04858e+06."""
    return str(int(number)) if number == int(number) else f"{number:g}"


def _path(text: str, base: Path) -> Path:
    return (base / text) if text else Path()


def _bounded(about: Key, value: Any, measure: float, unit: str) -> tuple[Any, str]:
    of = f" {unit}" if unit else ""
    given = f"{measure}{of}" if unit else _show(value)
    if measure != measure or measure in (float("inf"), float("-inf")):
        return None, f"must be a finite number, not {value}"
    if about.minimum is not None and measure < about.minimum:
        return None, f"must be at least {plain(about.minimum)}{of}, not {given}"
    if about.maximum is not None and measure > about.maximum:
        return None, f"must be at most {plain(about.maximum)}{of}, not {given}"
    return value, ""


def _show(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = text.lower() if isinstance(value, bool) else text
    return text if len(text) <= 60 else text[:57] + "..."
