"""Tiny Kyutai and Mimi checkpoints written with numpy, so that the exporter is tested without torch."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.export.kyutai import package as kyutai
from builders.export.kyutai.checkpoint import expected
from builders.export.kyutai.layers import Precision
from builders.export.kyutai.parse import read_config
from builders.export.mimi.checkpoint import expected as mimi_expected
from builders.export.mimi.config import like_reference
from builders.export.mimi.config import read_config as read_mimi
from noctule.inference.manifest import load_manifest
from noctule.inference.runtime import load_model

FIXTURES = Path(__file__).parent / "fixtures" / "kyutai-tiny"
Array = npt.NDArray[Any]
Config = dict[str, Any]

CONFIG: Config = {
    "dim": 16,
    "text_card": 64,
    "existing_text_padding_id": 3,
    "n_q": 4,
    "dep_q": 2,
    "card": 12,
    "num_heads": 2,
    "num_layers": 1,
    "hidden_scale": 4,
    "causal": True,
    "layer_scale": None,
    "context": 8,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 8,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_multi_linear": True,
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 0, 1],
}
MIMI: Config = like_reference(
    {
        "sample_rate": 800,
        "seanet": {"dimension": 8, "n_filters": 2, "ratios": [8, 4]},
        "quantizer": {"dimension": 4, "n_q": 3, "bins": 12, "input_dimension": 8, "output_dimension": 8},
        "transformer": {
            "d_model": 8, "num_heads": 2, "num_layers": 1, "context": 8, "dim_feedforward": 16,
            "input_dimension": 8, "output_dimensions": [8],
        },
    }
)  # fmt: skip


def save(path: Path, tensors: dict[str, Array], names: dict[str, str] | None = None) -> None:
    """Write a safetensors file; uint16 arrays are stored as bfloat16."""
    header, data, offset = {}, [], 0
    stored = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int8": "I8", "int64": "I64"}
    for name, array in tensors.items():
        header[name] = {
            "dtype": (names or {}).get(name, stored[str(array.dtype)]),
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        data.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def bfloat16(values: Array) -> Array:
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def weights(config_path: Path, seed: int = 0) -> dict[str, Array]:
    linear, other = expected(read_config(config_path))
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * shape[-1] ** -0.5 + ("alpha" in name)).astype(np.float32)
        for name, shape in {**linear, **other}.items()
    }


def make(folder: Path, change: Config | None = None) -> dict[str, Array]:
    """A whole checkpoint: config, weights, tokenizer, Mimi. Returns the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **(change or {})}))
    tensors = weights(folder / "config.json")
    save(folder / "model.safetensors", tensors)
    shutil.copy(FIXTURES / "lm" / "tokenizer.model", folder / "tokenizer_spm_32k_3.model")
    (folder / "mimi.json").write_text(json.dumps(MIMI))
    rng = np.random.default_rng(1)
    shapes = mimi_expected(read_mimi(folder / "mimi.json"))
    save(
        folder / "tokenizer-e351c8d8-checkpoint125.safetensors",
        {
            name: (rng.standard_normal(shape) * 0.5 + (1.5 if "usage" in name else 0)).astype(np.float32)
            for name, shape in shapes.items()
        },
    )
    return tensors


def quiet(_: str) -> None:
    """No progress."""


def export(folder: Path, output: Path, precision: tuple[str, str] = ("float32", "float32")) -> dict[str, Any]:
    return kyutai.export_lm(folder, output, kyutai.Options(precision=Precision(*precision)), quiet)


def text_logits(package: Path, frames: int = 6) -> Array:
    """Text logits of seeded frames and the audio logits that follow them."""
    manifest = load_manifest(package, "speech-lm")
    streams = manifest.raw["streams"]
    rng, offsets = np.random.default_rng(0), streams["offsets"]
    name = f"temporal_{streams['buckets'][-1]}"
    found = []
    with load_model(package / "model.tflite") as model:
        runner = model.runner(name, alias={n: n for n in model.signatures[name].inputs if n.startswith("kv_cache")})
        depth = model.runner("dep_0")
        for frame in range(frames):
            rows = [rng.integers(low, high) for low, high in pairwise(offsets)]
            runner.write("tokens", np.array([rows], np.int32))
            runner.write("input_pos", np.array([frame], np.int32))
            runner.run()
            depth.write("hidden", runner.read("hidden"))
            depth.write("token", np.array([[frame]], np.int32))
            depth.run()
            found.append(np.concatenate([runner.read("logits")[0], depth.read("logits")[0]]))
    return np.array(found)


def close(a: Array, b: Array, rtol: float) -> bool:
    return float(np.abs(a - b).max() / np.abs(b).max()) < rtol
