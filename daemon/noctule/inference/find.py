"""Where a model package is, and where the runtime may keep unpacked weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from noctule.core.errors import ModelError


def places(name: str, folders: Sequence[Path]) -> list[Path]:
    """Where something named in a setting is looked for: an absolute path is itself, a name is below each folder."""
    return [Path(name)] if Path(name).is_absolute() else [folder / name for folder in folders]


def find_model(name: str, folders: Sequence[Path], key: str = "lm.model") -> Path:
    """The package's folder: `name` as a path, or below the first of `folders` that has it. Raises ModelError, with
    the setting `key` that names it."""
    looked = places(name, folders)
    for place in looked:
        if (place / "manifest.json").exists():
            return place
    where = ", ".join(str(place.parent) for place in looked)
    raise ModelError(f"There is no model {Path(name).name} in {where}.", f"see {key} and service.models")


def cache_folder(state: Path, enabled: bool, say: Callable[[str], None]) -> Path | None:
    """Where the runtime keeps unpacked weights, below the folder `state`; None when that is switched off or
    impossible, which is said."""
    if not enabled:
        return None
    folder = state / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"No weight cache: {folder} cannot be made ({error.strerror}); more memory is used")
        return None
    return folder
