"""JSON of unknown origin: read from a file, and taken apart by values that name their place when they are wrong.

node = read_node(path, InputError)
node.get("limits").get("context").integer(2)     # InputError: config.json: limits.context: expected …, found …
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from noctule.core.errors import ModelError, NoctuleError

#: bytes of a file that is read; the largest published config.json has a few thousand.
LIMIT = 1 << 22
#: characters of a wrong value that are shown.
_SHOWN = 60


class JsonNode:
    """A JSON value and where it stands. file: what a complaint begins with; error: what is raised."""

    def __init__(self, file: str, place: str, value: Any, error: type[NoctuleError] = ModelError) -> None:
        self.file, self.place, self.value, self.error = file, place, value, error

    def __bool__(self) -> bool:
        """Whether there is anything here; null is nothing."""
        return self.value is not None

    # -- complaints ----------------------------------------------------------------------------------------------

    def wrong(self, problem: str, hint: str = "") -> NoctuleError:
        """The error that says so of this place, to be raised."""
        return self.error(f"{self.file}: {self.place or 'top level'}: {problem}", hint)

    def fail(self, expected: str) -> NoReturn:
        """Raise the error: this was expected here, and what was found instead."""
        shown = repr(self.value)
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "…"
        raise self.wrong(f"expected {expected}, found {'nothing' if self.value is None else shown}")

    # -- objects and lists ---------------------------------------------------------------------------------------

    def table(self) -> dict[str, JsonNode]:
        if not isinstance(self.value, dict):
            self.fail("an object")
        return {key: self._under(key, value) for key, value in self.value.items()}

    def get(self, key: str, default: Any = None) -> JsonNode:
        """The value under a key; `default` where there is none, or null."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        value = self.value.get(key)
        return self._under(key, default if value is None else value)

    def values(self) -> dict[str, Any]:
        """The object as it is, for whoever checks it by himself."""
        return {key: node.value for key, node in self.table().items()}

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse keys that are not known; those that begin with x_ are somebody's own."""
        for key in self.table():
            if key not in allowed and not key.startswith("x_"):
                raise self.wrong(f"unknown key {key!r} (known: {', '.join(allowed)})")

    def items(self) -> list[JsonNode]:
        if not isinstance(self.value, list):
            self.fail("a list")
        return [JsonNode(self.file, f"{self.place}[{i}]", v, self.error) for i, v in enumerate(self.value)]

    def _under(self, key: str, value: Any) -> JsonNode:
        return JsonNode(self.file, f"{self.place}.{key}" if self.place else key, value, self.error)

    # -- values --------------------------------------------------------------------------------------------------

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail("a string")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("true or false")
        return self.value

    def integer(self, low: int, high: int = 2**53) -> int:
        """A whole number; both ends are included."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            self.fail(f"a whole number from {low}" + (f" to {high}" if high < 2**53 else ""))
        return self.value

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number; both ends are included."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self.fail("a number")
        if not (math.isfinite(self.value) and low <= self.value <= high):
            bounds = f" from {low:g}" * (low > -math.inf) + f" to {high:g}" * (high < math.inf)
            self.fail(f"a number{bounds}" if bounds else "a finite number")
        return float(self.value)

    def positive(self) -> float:
        """A finite number above 0."""
        if not self.number() > 0:
            self.fail("a positive number")
        return float(self.value)

    def one_of(self, allowed: Iterable[str]) -> str:
        if not isinstance(self.value, str) or self.value not in allowed:
            self.fail(" or ".join(repr(a) for a in allowed))
        return self.value


def read_object(
    path: Path, error: type[NoctuleError] = ModelError, hint: str = "", limit: int = LIMIT
) -> Mapping[str, Any]:
    """The JSON object in a file; `error`, with `hint` where the file is missing, for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise error(f"{path} is larger than {limit} bytes, so no settings")
        found = json.loads(data.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{path}: no such file", hint) from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from None
    except RecursionError:
        raise error(f"{path} is not valid JSON: nested too deeply") from None
    except ValueError as problem:  # not UTF-8, not JSON, numbers beyond Python's bound
        raise error(f"{path} is not valid JSON: {str(problem)[:200]}") from None
    if not isinstance(found, dict):
        raise error(f"{path} holds a {type(found).__name__}, expected an object")
    return found


def read_node(path: Path, error: type[NoctuleError] = ModelError, hint: str = "", limit: int = LIMIT) -> JsonNode:
    """As `read_object`, to be taken apart."""
    return JsonNode(str(path), "", read_object(path, error, hint, limit), error)
