"""The pocket-tts fixtures (scripts/tools/fixtures/pocket.py) and packages made of them; shared by several rooms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.export.pocket.package import Options, export_pocket
from noctule.lm.speech.pocket.backbone import VoiceState
from noctule.lm.speech.pocket.model import PocketModel

FOLDER = Path(__file__).parent / "fixtures" / "pocket-tiny"
FLOWS = ("lsd", "flow_matching", "drifting", "pointwise")
BUCKETS = (64, 128, 320)
EXACT: dict[str, Any] = {"linear": "float32", "conv": "float32"}


@dataclass(frozen=True)
class Recorded:
    """What the package pocket_tts answered; see the fixture's script."""

    folder: Path
    arrays: dict[str, Any]
    text: str
    chunks: list[tuple[str, list[int], int]]

    def __getattr__(self, name: str) -> Any:
        return self.arrays[name]


def recorded(flow: str) -> Recorded:
    folder = FOLDER / flow
    with np.load(folder / "reference.npz") as file:
        arrays = {name: file[name] for name in file.files}
    said = json.loads((folder / "chunks.json").read_text(encoding="utf-8"))
    return Recorded(folder, arrays, said["text"], [(text, tokens, frames) for text, tokens, frames in said["chunks"]])


def package(flow: str, target: Path, **options: Any) -> Path:
    """The fixture's checkpoint exported to `target`."""
    chosen = {**EXACT, "buckets": BUCKETS, "voices": [FOLDER / flow / "voice.safetensors"], **options}
    export_pocket(FOLDER / flow, target, Options(**chosen), lambda _: None)
    return target


def frames(model: PocketModel, voice: VoiceState | None, tokens: list[int], noise: Any) -> tuple[Any, Any, Any, Any]:
    """Conditioning, ends, latents and sound of a frame for each row of noise."""
    backbone, latent = model.backbone, model.settings.bos
    backbone.begin(voice)
    backbone.prompt(backbone.text(tokens))
    model.decoder.reset()
    found: list[tuple[Any, ...]] = []
    for row in noise:
        hidden, end = backbone.step(latent)
        latent = model.sampler.sample(hidden, row)
        found.append((hidden[0], end, latent, model.decoder.step(latent)))
    hiddens, ends, latents, sounds = (np.asarray(part) for part in zip(*found, strict=True))
    return hiddens, ends, latents, sounds


def copy_of(flow: str, target: Path, change: Callable[[Path], None] = lambda _: None) -> Path:
    """The fixture's checkpoint in a folder of its own, changed."""
    shutil.copytree(FOLDER / flow, target)
    change(target)
    return target
