"""Mimi checkpoints made by `moshi` itself with random weights, and what moshi answers: the codec tests' oracle."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_TORCH_COMPILE", "1")

import numpy as np
import numpy.typing as npt
import torch
from moshi.models import loaders
from moshi.models.compression import MimiModel
from safetensors.torch import save_file

Array = npt.NDArray[Any]

torch.set_num_threads(1)  # a frame at a time is too little work to share; idle threads would only spin


def build_codec(config: dict[str, Any] | None, codebooks: int, seed: int = 0) -> MimiModel:
    """moshi's MimiModel with random weights scaled so that neither codes nor samples degenerate."""
    torch.manual_seed(seed)
    model = loaders.get_mimi(None, json.loads(json.dumps(config)), num_codebooks=codebooks)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.copy_(torch.randn_like(parameter) * 1.3 / math.sqrt(parameter[0].numel()))
            elif "scale" in name:
                parameter.copy_(0.2 + 0.05 * torch.randn_like(parameter))
            elif "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.02 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if "embedding_sum" in name:
                buffer.copy_(torch.randn_like(buffer))
            elif "cluster_usage" in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model.eval()


def write_codec(path: Path, model: MimiModel) -> None:
    """The weights under the published names."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


@torch.no_grad()
def codec_run(model: MimiModel, frames: int, seed: int = 1) -> dict[str, Array]:
    """pcm [T * samples], codes [T, n_q] and the decoded samples [T * samples] of moshi's streaming codec."""
    rng = np.random.default_rng(seed)
    size = model.frame_size
    # quantised like a 16-bit file, so that the fixture is small and exact
    pcm = (np.round(np.clip(rng.standard_normal(frames * size) * 0.2, -1, 1) * 127) / 127).astype(np.float32)
    codes, samples = [], []
    with model.streaming(1):
        for frame in pcm.reshape(frames, 1, 1, size):
            codes.append(model.encode(torch.from_numpy(frame))[0, :, 0].numpy())
    with model.streaming(1):
        for frame in codes:
            samples.append(model.decode(torch.from_numpy(frame)[None, :, None])[0, 0].numpy())
    return {"pcm": pcm, "codes": np.array(codes), "samples": np.concatenate(samples)}
