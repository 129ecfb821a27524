"""The model that `bench lm` measures: the shape of SmolLM-135M, and the bytes each format reads to decode a token."""

from __future__ import annotations

from typing import Any

#: config.json of HuggingFaceTB/SmolLM-135M, as far as the shape goes.
SHAPE: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
#: Bytes a weight: GGUF blocks of 32 share a float16 scale; our int8 has one float32 scale a row (left out here);
#: our int4 too has a 16-bit scale a block of 32.
_WEIGHT_BYTES = {"int8": 1.0, "int4": 18 / 32, "Q8_0": 34 / 32, "Q4_0": 18 / 32}


def weights() -> int:
    """Weights read to decode one token: all layers and the tied head."""
    dim, ffn = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    kv = dim // SHAPE["num_attention_heads"] * SHAPE["num_key_value_heads"]
    layer = 2 * dim * dim + 2 * dim * kv + 3 * dim * ffn
    return int(layer * SHAPE["num_hidden_layers"] + SHAPE["vocab_size"] * dim)


def token_bytes() -> dict[str, int]:
    """Weight bytes read to decode one token, by engine."""
    return {name: int(size * weights()) for name, size in _WEIGHT_BYTES.items()}
