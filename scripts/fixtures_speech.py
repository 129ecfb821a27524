#!/usr/bin/env python3
"""Rebuild tests/fixtures/kyutai-tiny: a tiny Kyutai-shaped checkpoint, its packages, and what `moshi` answers.

    scripts/fixtures_speech.py            (host environment: torch and moshi)

The weights are random and seeded; the point is the numbers in reference.npz, which come from moshi and let the fast
tests prove parity without torch.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from exporting import kyutai, mimi  # noqa: E402
from exporting.kyutai_layers import Precision  # noqa: E402
from exporting.kyutai_reference import build_model, forced_run, generate, write_checkpoint  # noqa: E402
from exporting.mimi_config import like_reference  # noqa: E402
from exporting.mimi_reference import build_codec, codec_run, write_codec  # noqa: E402

FIXTURES = _HERE.parent / "tests" / "fixtures" / "kyutai-tiny"

#: moshiko's config.json with every number made small: the same kinds of streams, delays and layers
CONFIG: dict[str, Any] = {
    "dim": 32,
    "text_card": 64,
    "existing_text_padding_id": 3,
    "n_q": 6,
    "dep_q": 3,
    "card": 24,
    "num_heads": 4,
    "num_layers": 2,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 24,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 24,
    "depformer_dim_feedforward": 96,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 3,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 0, 1, 1],
    "extra_heads_num_heads": 2,
    "extra_heads_dim": 3,
    "lm_gen_config": {"temp": 0.8, "temp_text": 0.7, "top_k": 20, "top_k_text": 8},
}
FRAMES = 200

#: Mimi's own ratios, so that a frame is 1,920 samples, with narrow layers and a ring of 12 steps
CODEC = like_reference(
    {
        "seanet": {"dimension": 16, "n_filters": 2},
        "quantizer": {"dimension": 8, "n_q": 4, "bins": 24, "input_dimension": 16, "output_dimension": 16},
        "transformer": {
            "d_model": 16, "num_heads": 2, "num_layers": 2, "context": 12, "dim_feedforward": 32,
            "input_dimension": 16, "output_dimensions": [16],
        },
    }
)  # fmt: skip
CODEC_FRAMES = 16


def reference(model: Any) -> dict[str, Any]:
    """What moshi answers: teacher-forced logits, greedy and sampled generation."""
    forced = forced_run(model, FRAMES)
    rng = np.random.default_rng(2)
    heard = rng.integers(0, model.card, (model.n_q - model.dep_q, FRAMES))
    uniforms = rng.random((FRAMES, 1 + model.dep_q))
    sampling = CONFIG["lm_gen_config"]
    return {
        "codes": forced.codes.astype(np.int16),
        "depth_tokens": forced.depth_tokens.astype(np.int16),
        "text_logits": forced.text,
        "audio_logits": forced.audio,
        "extra": forced.extra,
        "heard": heard.astype(np.int16),
        "greedy": generate(model, heard).astype(np.int16),
        "uniforms": uniforms,
        "sampled": generate(model, heard, uniforms, **sampling).astype(np.int16),
    }


def main() -> None:
    """Write the fixtures."""
    torch.set_num_threads(1)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / "kyutai-tiny"
        model = build_model(CONFIG)
        write_checkpoint(checkpoint, CONFIG, model)
        options = kyutai.Options(
            precision=Precision("float32", "float32"),
            buckets=(8,),
            licence="Apache-2.0",
            source="random weights, seed 0",
            build="scripts/fixtures_speech.py",
        )
        kyutai.export_lm(checkpoint, FIXTURES / "lm", options, lambda line: print(line, file=sys.stderr))
        codec = build_codec(CODEC, codebooks=CONFIG["dep_q"])
        write_codec(Path(scratch) / "mimi.safetensors", codec)
        (Path(scratch) / "mimi.json").write_text(json.dumps(CODEC), encoding="utf-8")
        mimi.export_codec(
            Path(scratch) / "mimi.safetensors",
            Path(scratch) / "mimi.json",
            FIXTURES / "codec",
            mimi.Options(
                CONFIG["dep_q"],
                name="mimi-tiny",
                licence="Apache-2.0",
                source="random weights, seed 0",
                build="scripts/fixtures_speech.py",
            ),
            lambda line: print(line, file=sys.stderr),
        )
    run = codec_run(codec, CODEC_FRAMES)
    run["pcm"] = np.round(run["pcm"] * 127).astype(np.int8)  # the samples are these integers / 127
    arrays: dict[str, Any] = reference(model) | {f"codec_{name}": value for name, value in run.items()}
    np.savez_compressed(FIXTURES / "reference.npz", **arrays)
    total = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{FIXTURES}: {total / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
