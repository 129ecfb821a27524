"""Small wake models with known behaviour, written by our own writer; shared by the wake-word tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.wake.packaging import manifest
from builders.wake.tflite_writer import Head, Layer, model_bytes
from noctule.wake.features import FEATURE_SCALE


def loud_model(gain: float = 0.4, bias: float = -5.0) -> bytes:
    """Scores high when the features are large: the logit is `gain` times the sum of bands 5 … 14, plus `bias`."""
    kernel = np.zeros((4, 5, 40), np.float32)
    kernel[0, -1, 5:15] = 0.1
    first = Layer(kernel, np.zeros(4, np.float32), 1, FEATURE_SCALE, 0.1)
    delay = np.zeros((4, 3, 4), np.float32)
    delay[0, 0, 0] = 1.0  # looks two steps back, so that a state must be kept
    second = Layer(delay, np.zeros(4, np.float32), 1, 0.1, 0.1)
    return model_bytes([first, second], Head(np.array([gain, 0, 0, 0], np.float32), bias, 0.1), "test")


def write_loud(folder: Path, name: str = "loud", threshold: float = 0.5, **changes: Any) -> Path:
    """A package of `loud_model` in `folder`; `changes` replace keys of x_noctule."""
    data = loud_model()
    described = manifest(name, "Loud Noise", "en", data, threshold, 5, "Apache-2.0", "a test", {})
    described["x_noctule"].update(changes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.tflite").write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def noise(seconds: float, level: float = 6000.0, seed: int = 0) -> NDArray[np.int16]:
    """White noise, int16 at 16 kHz."""
    return np.random.default_rng(seed).normal(0, level, int(seconds * 16_000)).clip(-32000, 32000).astype(np.int16)


def bursts(total: float, starts: tuple[float, ...], length: float = 0.6) -> NDArray[np.int16]:
    """Near silence with loud bursts at `starts` seconds."""
    out = noise(total, 3.0, 1)
    for start in starts:
        at = int(start * 16_000)
        burst = noise(length)
        out[at : at + len(burst)] = burst
    return out
