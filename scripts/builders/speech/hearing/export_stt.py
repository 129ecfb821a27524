"""The trained text model as a Kyutai checkpoint, and that as a package of the device.

The checkpoint is a folder with `config.json`, `model.safetensors` and `tokenizer.model`, which `scripts/export_lm.py`
and moshi itself also read; the package is written by the exporter of the published models, unchanged.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from builders.export.kyutai.layers import Precision
from builders.export.kyutai.package import Options, export_lm
from builders.speech.hearing.lm import SpeechTextModel, config
from builders.speech.shape import RATE, LmShape

NAME = "noctule-stt"
LICENCE = "Apache-2.0"
#: ways to read what was said that the device follows at once
READINGS = 8
#: contexts in frames: 10 s for a command, 20 s at most before old frames are forgotten
BUCKETS = (128, 256)


def text_model(weights: Mapping[str, Tensor], shape: LmShape) -> SpeechTextModel:
    """The model of a training checkpoint's weights."""
    model = SpeechTextModel(shape)
    model.load_state_dict({name[3:]: value for name, value in weights.items() if name.startswith("lm.")})
    return model.eval()


def write_checkpoint(
    folder: Path, model: SpeechTextModel, tokenizer: Path, *, turn: float, confidence: float
) -> None:
    """A Kyutai checkpoint. turn, confidence: the calibrated thresholds (see `calibrate`)."""
    folder.mkdir(parents=True, exist_ok=True)
    described = config(model.shape, threshold=turn, name=NAME)
    described["stt_config"] |= {"confidence": confidence, "readings": READINGS}
    (folder / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    save_file(model.checkpoint(), folder / "model.safetensors")
    shutil.copyfile(tokenizer, folder / "tokenizer.model")


def export_stt(
    checkpoint: Path, output: Path, *, version: str, build: str, source: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Write the package from a checkpoint folder; returns the manifest's `streams`."""
    with torch.inference_mode():
        return export_lm(
            checkpoint,
            output,
            Options(
                precision=Precision("int8", "int8"),
                buckets=BUCKETS,
                name=NAME,
                version=version,
                licence=LICENCE,
                source=source,
                build=build,
                sample_rate=RATE,
            ),
            say,
        )
