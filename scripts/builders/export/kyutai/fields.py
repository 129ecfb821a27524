"""Typed values out of a Kyutai `config.json`: which keys exist, what they default to, how a bad one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.export.kyutai.config import Norm
from noctule.core.checked_json import JsonNode
from noctule.core.errors import InputError

#: what a checkpoint that names no mimi or tokenizer uses (moshi/models/loaders.py)
MIMI_NAME = "tokenizer-e351c8d8-checkpoint125.safetensors"
TOKENIZER_NAME = "tokenizer_spm_32k_3.model"
WEIGHTS_NAME = "model.safetensors"

_RMS = {"rms_norm": 1e-5, "rms_norm_f32": 1e-8}
_LAYER = {"layer_norm": 1e-5, "layer_norm_f32": 1e-8}

#: keys of config.json that describe the files, not the language model
FILE_KEYS = {
    "moshi_name",
    "mimi_name",
    "mimi_config_name",
    "tokenizer_name",
    "lora_name",
    "model_type",
    "lm_gen_config",
    "tts_config",
    "stt_config",
    "model_id",
    "voice_repo",
}
REQUIRED = (
    "dim",
    "num_heads",
    "num_layers",
    "n_q",
    "dep_q",
    "card",
    "text_card",
    "delays",
    "hidden_scale",
    "context",
    "gating",
    "norm",
    "positional_embedding",
    "max_period",
)
#: optional keys with moshi's own default
OPTIONAL: dict[str, Any] = {
    "text_card_out": None,
    "existing_text_padding_id": 3,
    "existing_text_end_padding_id": 0,
    "causal": True,
    "layer_scale": None,
    "kv_repeat": 1,
    "norm_emb": False,
    "bias_proj": False,
    "cross_attention": False,
    "demux_second_stream": False,
    "demux_second_text_stream": False,
    "extra_heads_num_heads": 0,
    "extra_heads_dim": 6,
    "conditioners": {},
    "fuser": None,
    "quantize": False,
    "positional_scale": 1.0,
    "lora": False,
    "depformer_dim": 256,
    "depformer_dim_feedforward": None,
    "depformer_multi_linear": False,
    "depformer_weights_per_step": False,
    "depformer_weights_per_step_schedule": None,
    "depformer_low_rank_embeddings": None,
    "depformer_pos_emb": "sin",
    "depformer_norm": None,
    "depformer_num_heads": None,
    "depformer_num_layers": None,
    "depformer_context": None,
    "depformer_max_period": None,
    "depformer_gating": None,
    "depformer_layer_scale": None,
    "depformer_causal": True,
    "depformer_kv_repeat": None,
}


class Fields:
    """Pulls typed values out of the raw object and refuses what it does not understand."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self._path, self._raw = path, raw

    def fail(self, key: str, problem: str) -> InputError:
        return InputError(f"{self._path}: {key} {problem}")

    def get(self, key: str) -> Any:
        if key in self._raw:
            return self._raw[key]
        if key in OPTIONAL:
            return OPTIONAL[key]
        raise self.fail(key, "is missing")

    def _node(self, key: str) -> JsonNode:
        return JsonNode(str(self._path), key, self.get(key), InputError)

    def integer(self, key: str, low: int = 1, high: int = 1 << 24) -> int:
        return self._node(key).integer(low, high)

    def flag(self, key: str) -> bool:
        return self._node(key).flag()

    def number(self, key: str) -> float:
        return self._node(key).positive()

    def one_of(self, key: str, choices: tuple[str, ...], default: Any = None) -> str:
        value = self.get(key)
        value = default if value is None else value
        if value not in choices:
            raise self.fail(key, f"is {value!r}, and only {', '.join(choices)} can be exported")
        return str(value)

    def text(self, key: str, default: str) -> str:
        value = self._raw.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.fail(key, f"must be a file name, not {value!r}")
        return value

    def table(self, key: str) -> dict[str, Any]:
        value = self._raw.get(key) or {}
        JsonNode(str(self._path), key, value, InputError).table()
        return dict(value)

    def norm(self, key: str) -> Norm:
        kind = self.one_of(key, (*_RMS, *_LAYER))
        return Norm("rms", _RMS[kind]) if kind in _RMS else Norm("layer", _LAYER[kind])
