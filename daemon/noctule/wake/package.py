"""A wake-word package: a microWakeWord v2 JSON and its .tflite, with our keys under `x_noctule`.

Loading never guesses: a file that is empty, truncated, swapped, of another kind, or made for another front end
is refused with one sentence. microWakeWord's own models carry no hash and no pin; they are checked by their size
and TFLite identifier, and their front end is the one that version 2 of the format defines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError, ModelError
from noctule.core.file_kind import kind_of
from noctule.inference.tflite_file import check_tflite
from noctule.wake import features

#: first seconds after a reset that may never trigger: the noise estimate and the receptive field fill (FACTS §5).
WARM_UP_SECONDS = 2.1
#: silence after a detection, so that one utterance is one event.
REFRACTORY_SECONDS = 2.0
#: bytes of the largest wake-word JSON; ours have three thousand.
_LARGEST_JSON = 1 << 20


@dataclass(frozen=True)
class WakePackage:
    """What the detector needs of a package."""

    #: the name of the JSON, or of the model in a folder with a manifest.json, without its ending.
    id: str
    #: the words as a person writes them.
    phrase: str
    model: Path
    #: mean score above which the word is heard, 0 … 1.
    threshold: float
    #: how many scores (one each `stride` hops) are averaged.
    window: int
    languages: tuple[str, ...] = ()
    warm_up: float = WARM_UP_SECONDS
    refractory: float = REFRACTORY_SECONDS
    #: our own keys as they are; empty for microWakeWord's models.
    extra: dict[str, Any] = field(default_factory=dict)


def load_package(path: str | Path) -> WakePackage:
    """Read and verify a package given its folder or its JSON file."""
    config_path = _config_path(Path(path))
    config = _read_config(config_path)
    micro = config["micro"]
    name = config["model"]
    if isinstance(name, str) and name.startswith("./"):
        name = name[2:]
    if not isinstance(name, str) or Path(name).name != name or name in ("", "..") or "\0" in name:
        hint = "download it, put it beside this file and name it" if "://" in str(name) else ""
        raise ModelError(f"{config_path}: 'model' must be the name of a file beside it", hint)
    extra = config.get("x_noctule", {})
    if not isinstance(extra, dict):
        raise ModelError(f"{config_path}: 'x_noctule' must be a table")
    languages = config.get("trained_languages", [])
    if not isinstance(languages, list):
        raise ModelError(f"{config_path}: 'trained_languages' must be a list")
    model = config_path.parent / name
    _check_model_file(model, extra)
    _check_front_end(config_path, micro, extra)
    return WakePackage(
        id=model.stem if config_path.name == "manifest.json" else config_path.stem,
        phrase=str(config.get("wake_word") or model.stem),
        model=model,
        threshold=_number(config_path, micro, "probability_cutoff", 0.0, 1.0),
        window=int(_number(config_path, micro, _window_key(micro), 1, 100)),
        languages=tuple(str(item) for item in languages),
        warm_up=_number(config_path, extra, "warm_up_ms", 0, 10_000, WARM_UP_SECONDS * 1000) / 1000,
        refractory=_number(config_path, extra, "refractory_ms", 0, 60_000, REFRACTORY_SECONDS * 1000) / 1000,
        extra=extra,
    )


def distinct(packages: Sequence[WakePackage]) -> list[WakePackage]:
    """The same packages with an id each of their own: files of one name in two folders get the folder's name before
    theirs. Raises InputError for one package given twice."""
    ids = [package.id for package in packages]
    found = []
    for package in packages:
        if ids.count(package.id) > 1:
            model = package.model.resolve()
            if sum(other.model.resolve() == model for other in packages) > 1:
                raise InputError(f"the wake word {package.id!r} is given twice")
            package = replace(package, id=f"{model.parent.name}.{package.id}")
        found.append(package)
    again = [package.id for package in found]
    return [
        replace(package, id=f"{package.id}.{hashlib.sha256(str(package.model.resolve()).encode()).hexdigest()[:8]}")
        if again.count(package.id) > 1
        else package
        for package in found
    ]


def _window_key(micro: dict[str, Any]) -> str:
    """The key's name now, and before the format's first release."""
    old = "sliding_window_average_size"
    return old if old in micro and "sliding_window_size" not in micro else "sliding_window_size"


def _config_path(path: Path) -> Path:
    if not path.is_dir():
        return path
    named = path / "manifest.json"
    if named.is_file():
        return named
    found = sorted(path.glob("*.json"))
    candidates = [item for item in found if (path / f"{item.stem}.tflite").exists()]
    if len(candidates) == 1:
        return candidates[0]
    problem = "no wake-word JSON" if not candidates else f"{len(candidates)} wake-word JSONs"
    raise ModelError(f"{path}: {problem} in this folder", "name the .json file itself")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ModelError(f"{path}: larger than {_LARGEST_JSON} bytes, so no wake-word JSON")
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such wake-word package") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        kind = kind_of(path)
        if kind is not None and kind.name != "json":
            raise ModelError(f"{path}: is {kind.what}; a wake-word JSON was expected", kind.hint) from error
        raise ModelError(f"{path}: not a readable JSON file: {error}") from error
    except RecursionError as error:
        raise ModelError(f"{path}: not a readable JSON file: nested too deeply") from error
    if not isinstance(config, dict) or config.get("type") != "micro" or not isinstance(config.get("micro"), dict):
        raise ModelError(f"{path}: not a microWakeWord package ('type' must be 'micro')")
    if config.get("version") == 1:
        raise ModelError(
            f"{path}: is for version 1 of microWakeWord, whose models do not run here",
            "its author's collection has a version 2 of most words; or build your own: docs/wake-words.md",
        )
    if config.get("version") != 2:
        raise ModelError(f"{path}: microWakeWord version {config.get('version')!r} is unknown; this reads version 2")
    if "model" not in config:
        raise ModelError(f"{path}: 'model' is missing")
    return config


def _check_model_file(model: Path, extra: dict[str, Any]) -> None:
    check_tflite(model)
    data = model.read_bytes()
    files = extra.get("files", {})
    expected = files.get(model.name) if isinstance(files, dict) else None
    if expected is not None and not isinstance(expected, dict):
        raise ModelError(f"{model}: what the package says of this file under x_noctule.files makes no sense")
    if expected is None:
        if extra:
            raise ModelError(f"{model}: the package does not list this file under x_noctule.files")
        return
    if expected.get("bytes") != len(data):
        raise ModelError(
            f"{model}: {len(data)} bytes, the package says {expected.get('bytes')}",
            "the file is truncated or swapped: copy the package again",
        )
    if expected.get("sha256") != hashlib.sha256(data).hexdigest():
        raise ModelError(f"{model}: its SHA-256 is not the package's", "the file was changed: copy the package again")


def _check_front_end(path: Path, micro: dict[str, Any], extra: dict[str, Any]) -> None:
    step = micro.get("feature_step_size", 10)
    if step != 10:
        raise ModelError(f"{path}: a feature step of {step} ms is unknown; this front end makes 10 ms steps")
    if not extra:
        return
    pin = extra.get("front_end")
    if not isinstance(pin, dict) or pin.get("name") != features.FRONT_END:
        name = pin.get("name") if isinstance(pin, dict) else pin
        raise ModelError(f"{path}: front end {name!r} is unknown; this one is {features.FRONT_END}")
    if pin.get("digest") != features.digest():
        raise ModelError(
            f"{path}: the installed {features.FRONT_END} computes other features than the model was trained on",
            f"install version {pin.get('version', 'named in the package')}",
        )


def _number(
    path: Path, table: dict[str, Any], key: str, low: float, high: float, default: float | None = None
) -> float:
    if key not in table and default is None:
        raise ModelError(f"{path}: '{key}' is missing")
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ModelError(f"{path}: '{key}' must be a number from {low:g} to {high:g}, not {value!r}")
    return float(value)
