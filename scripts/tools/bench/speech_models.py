"""The models `scripts/bench speech` measures: random weights in real shapes, built once and kept in a cache folder.

`moshi-82m` is moshiko with every width divided (moshi/models/loaders.py, _lm_kwargs); `stt-1b` has the numbers of
kyutai/stt-1b-en_fr's config.json. Checkpoints are written by `moshi` itself in its published layout and exported by
the same code as real ones; the codec has Mimi's real shape. Runs under the host interpreter:

    python speech_models.py CACHE NAME
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

#: raise when a shape or the export changes, so that the cache is rebuilt
VERSION = 1
_MILLION = 1_000_000

_COMMON: dict[str, Any] = {
    "card": 2048, "existing_text_padding_id": 3, "causal": True, "layer_scale": None, "max_period": 10000,
    "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope", "hidden_scale": 4.125,
    "depformer_num_heads": 4, "depformer_num_layers": 4, "depformer_dim": 256, "depformer_dim_feedforward": 1056,
    "depformer_layer_scale": None, "depformer_multi_linear": True, "depformer_context": 8,
    "depformer_max_period": 10000, "depformer_gating": "silu", "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "moshi-82m": {
        **_COMMON, "dim": 512, "text_card": 4000, "n_q": 16, "dep_q": 8, "num_heads": 8, "num_layers": 8,
        "context": 256, "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
    },
    "stt-1b": {
        **_COMMON, "dim": 2048, "text_card": 8000, "n_q": 32, "dep_q": 0, "num_heads": 16, "num_layers": 16,
        "context": 750, "delays": [0] * 33, "extra_heads_num_heads": 4, "extra_heads_dim": 6, "model_type": "stt",
        "stt_config": {"audio_delay_seconds": 0.5, "audio_silence_prefix_seconds": 0.0},
    },
}  # fmt: skip
#: codebooks of the codec beside each model
CODEBOOKS = {"moshi-82m": 8, "stt-1b": 32}
#: bytes each takes in the cache while it is built (checkpoint, scratch, package)
SPACE = {"moshi-82m": 1_500 * _MILLION, "stt-1b": 9_000 * _MILLION}


def home(cache: Path, name: str) -> Path:
    """The model's folder in the cache."""
    return cache / f"speech-{name}-v{VERSION}"


def package(cache: Path, name: str) -> Path:
    """Where the model's package is; its codec is beside it."""
    return home(cache, name) / "lm"


def checkpoint(cache: Path, name: str) -> Path:
    """Where its checkpoint is, as moshi reads it."""
    return home(cache, name) / "checkpoint"


def ready(cache: Path, name: str) -> bool:
    """Whether everything of this model is there; the marker is written last."""
    return (home(cache, name) / "built").is_file()


def build(cache: Path, name: str) -> None:
    """Make the checkpoint, the codec and the packages of one model."""
    import torch

    from builders.common.terminal import Progress
    from builders.export.kyutai import package as kyutai
    from builders.export.kyutai.layers import Precision
    from builders.export.kyutai.reference import build_model, write_checkpoint
    from builders.export.mimi import package as mimi
    from builders.export.mimi.reference import build_codec, write_codec

    progress = Progress()
    shutil.rmtree(home(cache, name), ignore_errors=True)
    source, config = checkpoint(cache, name), CONFIGS[name]
    source.mkdir(parents=True)
    progress(f"{name}: random weights")
    write_checkpoint(source, config, build_model(config), dtype=torch.bfloat16)
    write_codec(source / "mimi.safetensors", build_codec(None, CODEBOOKS[name]))
    about = {"licence": "Apache-2.0", "source": "random weights, seed 0", "build": "scripts/bench speech"}
    options = kyutai.Options(precision=Precision("int8", "int8"), buckets=(64,), name=name, **about)
    kyutai.export_lm(source, package(cache, name), options, progress)
    codec = home(cache, name) / "lm-codec"
    mimi.export_codec(
        source / "mimi.safetensors",
        None,
        codec,
        mimi.Options(CODEBOOKS[name], name=f"{name}-codec", **about),
        progress,
    )
    (home(cache, name) / "built").write_text(json.dumps(config) + "\n", encoding="utf-8")
    progress(f"{name}: built")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    build(Path(sys.argv[1]), sys.argv[2])
