"""What a pocket-tts package says of itself: the manifest's section `pocket`. The package is told in docs/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest

KIND = "pocket-tts"
#: sampler heads → how many times they are conditioned on
FLOWS = {"lsd": 2, "flow_matching": 1, "drifting": 0, "pointwise": 0}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TextRules:
    """How a text is prepared, as the model was trained. frames_after_end: None to go by the text's length."""

    pad_short: bool = False
    no_semicolons: bool = False
    full_stop: bool = True
    capital: bool = True
    replace: Mapping[str, str] = field(default_factory=dict)
    frames_after_end: int | None = None


@dataclass(frozen=True)
class PocketSettings:
    """steps: of the sampler head; temperature: variance of its noise; end_threshold: the end's logit above which
    speech ends; bos [latent]: what stands before the first frame; voice_start [dim] or None: before a voice."""

    flow: str
    steps: int
    temperature: float
    end_threshold: float
    sample_rate: int
    frame_samples: int
    frame_rate: float
    bos: Floats
    voice_start: Floats | None
    text: TextRules
    voices: Mapping[str, str]
    golden: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> PocketSettings:
        where = manifest.folder / "manifest.json"
        table = manifest.raw["pocket"]
        try:
            start = table["voice_start"]
            settings = cls(
                flow=str(table["flow"]),
                steps=int(table["steps"]),
                temperature=float(table["temperature"]),
                end_threshold=float(table["end_threshold"]),
                sample_rate=int(table["sample_rate"]),
                frame_samples=int(table["frame_samples"]),
                frame_rate=float(table["frame_rate"]),
                bos=np.asarray(table["bos"], np.float32),
                voice_start=None if start is None else np.asarray(start, np.float32),
                text=TextRules(**table["text"]),
                voices={str(name): str(file) for name, file in table["voices"].items()},
                golden=dict(table.get("golden") or {}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise ModelError(f"{where}: pocket: cannot be read ({type(e).__name__}: {e})") from None
        if settings.flow not in FLOWS:
            raise ModelError(f"{where}: pocket: flow: {settings.flow!r} is none of {', '.join(FLOWS)}")
        if min(settings.steps, settings.sample_rate, settings.frame_samples) < 1 or settings.temperature < 0:
            raise ModelError(f"{where}: pocket: every number must be above zero")
        return settings
