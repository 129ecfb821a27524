"""A SmolLM-135M-shaped checkpoint with seeded random weights, in the Hugging Face layout. Runs on the host side.

Usage: lm_weights.py FOLDER. Speed does not depend on what the weights are, so none are downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

from builders.export.text.synthetic_tokenizer import write_tokenizer  # noqa: E402
from tools.bench.lm_shape import SHAPE  # noqa: E402

_SEED = 135


def tensors() -> dict[str, np.ndarray]:
    """Name -> float32 array; rows are outputs. Scales keep activations near one."""
    rng = np.random.default_rng(_SEED)
    vocab, dim, ffn = SHAPE["vocab_size"], SHAPE["hidden_size"], SHAPE["intermediate_size"]
    kv = dim // SHAPE["num_attention_heads"] * SHAPE["num_key_value_heads"]

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns), np.float32) / np.float32(columns**0.5)

    found = {"model.embed_tokens.weight": matrix(vocab, dim), "model.norm.weight": np.ones(dim, np.float32)}
    for i in range(SHAPE["num_hidden_layers"]):
        at = f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{at}{norm}.weight"] = np.ones(dim, np.float32)
        for name, rows, columns in (
            ("self_attn.q_proj", dim, dim), ("self_attn.k_proj", kv, dim), ("self_attn.v_proj", kv, dim),
            ("self_attn.o_proj", dim, dim), ("mlp.gate_proj", ffn, dim), ("mlp.up_proj", ffn, dim),
            ("mlp.down_proj", dim, ffn),
        ):  # fmt: skip
            found[f"{at}{name}.weight"] = matrix(rows, columns)
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(), folder / "model.safetensors")
    write_tokenizer(folder / "tokenizer.model", SHAPE["vocab_size"])
    # Last, so that a folder with a config.json is a whole checkpoint.
    (folder / "config.json").write_text(json.dumps(SHAPE, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
