"""Writes a package: whole or not at all.

Everything goes into a hidden folder beside the target, is loaded back through the daemon's own checks, and is then
renamed into place. An interrupted or failed build leaves nothing with a model's name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noctule.core.errors import ModelError
from noctule.wake import features
from noctule.wake.model import WakeModel
from noctule.wake.package import REFRACTORY_SECONDS, WARM_UP_SECONDS, load_package

#: the format's limit for these models (bytes).
LARGEST_MODEL = 100_000
FORMAT = 1


def manifest(
    slug: str, phrase: str, language: str, model: bytes, threshold: float, window: int, licence: str, command: str,
    extra: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The microWakeWord v2 JSON with our keys under `x_noctule`."""
    import importlib.metadata

    return {
        "type": "micro",
        "wake_word": phrase,
        "author": "built by Noctule's scripts/build_wake_word.py",
        "website": "",
        "model": f"{slug}.tflite",
        "trained_languages": [language],
        "version": 2,
        "micro": {
            "probability_cutoff": threshold,
            "feature_step_size": 10,
            "sliding_window_size": window,
            "tensor_arena_size": 60_000,
            "minimum_esphome_version": "2024.7.0",
        },
        "x_noctule": {
            "format": FORMAT,
            "kind": "wake-word",
            "name": slug,
            "licence": licence,
            "source": "generated speech" + (" and recordings" if extra.get("own_recordings") else ""),
            "build": command,
            "files": {f"{slug}.tflite": {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}},
            "front_end": {
                "name": features.FRONT_END,
                "version": importlib.metadata.version("pymicro-features"),
                "digest": features.digest(),
                "sample_rate": features.SAMPLE_RATE,
                "channels": features.CHANNELS,
                "step_ms": 10,
            },
            "warm_up_ms": round(WARM_UP_SECONDS * 1000),
            "refractory_ms": round(REFRACTORY_SECONDS * 1000),
            **extra,
        },
    }


def write_package(
    out: Path, described: dict[str, Any], model: bytes, licence_text: str,
    more: Callable[[Path], None] | None = None,
) -> None:  # fmt: skip
    """Write manifest.json, the model and LICENSE, and whatever `more` adds to the folder (the report)."""
    if len(model) > LARGEST_MODEL:
        raise ModelError(f"the model has {len(model)} bytes, more than {LARGEST_MODEL}")
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.parent / f".{out.name}.building"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        (staging / described["model"]).write_bytes(model)
        text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
        (staging / "manifest.json").write_text(text, encoding="utf-8")
        (staging / "LICENSE").write_text(licence_text, encoding="utf-8")
        WakeModel(load_package(staging).model).close()
        if more is not None:
            more(staging)
        retired = out.parent / f".{out.name}.old"
        shutil.rmtree(retired, ignore_errors=True)
        if out.exists():
            out.replace(retired)
        staging.replace(out)
        shutil.rmtree(retired, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
