"""config.json of each supported architecture -> DecoderConfig. Nothing is assumed that the file can say.

The keys and their defaults are those of transformers' configuration classes (`configuration_llama.py`,
`configuration_qwen2.py`, `configuration_qwen3.py`, `configuration_gemma.py`, `_gemma2.py`, `_gemma3.py`); older
files (rope_theta and rope_scaling at top level) and newer ones (rope_parameters) are both read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from builders.export.text.graph import DecoderConfig
from builders.export.text.rope import Rope, rope_from_config
from noctule.core.checked_json import JsonNode
from noctule.core.errors import InputError

_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu": "gelu",
}
_MISSING = object()


@dataclass(frozen=True)
class Family:
    """What the names of the tensors depend on. `unit_gain`: a norm multiplies by 1 + weight."""

    name: str
    decoder: DecoderConfig
    context: int
    prefix: str = "model."
    head: str = "lm_head.weight"
    unit_gain: bool = False
    ignored: tuple[str, ...] = ()  # prefixes of tensors that the text decoder does not use


class Keys:
    """config.json with typed reads; errors name the key."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def _node(self, key: str, default: Any) -> JsonNode:
        value = self.data.get(key)
        if value is None:
            if default is _MISSING:
                raise InputError(f"{self.where}: {key} is missing")
            value = default
        return JsonNode(self.where, key, value, InputError)

    def count(self, key: str, default: Any = _MISSING) -> int:
        return self._node(key, default).integer(1)

    def number(self, key: str, default: Any = _MISSING) -> float:
        return self._node(key, default).positive()

    def optional_number(self, key: str, default: float | None = None) -> float | None:
        # An explicit null switches the feature off; an absent key means the architecture's default.
        if key in self.data and self.data[key] is None:
            return None
        return default if key not in self.data else self.number(key)

    def flag(self, key: str, default: bool) -> bool:
        return self._node(key, default).flag()

    def activation(self, *keys: str, default: str) -> str:
        value = next((self.data[k] for k in keys if self.data.get(k) is not None), default)
        if value not in _ACTIVATIONS:
            raise InputError(f"{self.where}: activation {value!r} is not supported", "silu and gelu are")
        return _ACTIVATIONS[value]

    def refuse(self, key: str, harmless: tuple[Any, ...]) -> None:
        value = self.data.get(key)
        if value is not None and value not in harmless:
            raise InputError(f"{self.where}: {key} = {value!r} is not supported")


def _head_dim(keys: Keys, default: int | None = None) -> int:
    dim, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    if keys.data.get("head_dim") is None and default is None and dim % heads:
        raise InputError(
            f"{keys.where}: hidden_size {dim} is not a multiple of {heads} heads and head_dim is missing"
        )
    return keys.count("head_dim", default or dim // heads)


def _rope(keys: Keys, head_dim: int, theta: float = 10000.0) -> Rope:
    data = keys.data
    parameters = dict(data.get("rope_parameters") or data.get("rope_scaling") or {})
    parameters.setdefault("rope_theta", data.get("rope_theta") or theta)
    if data.get("partial_rotary_factor") is not None:
        parameters.setdefault("partial_rotary_factor", data["partial_rotary_factor"])
    return rope_from_config(parameters, head_dim, keys.where)


def _windows(keys: Keys, layers: int, default_types: list[str], window: int | None) -> tuple[int | None, ...]:
    """Each layer's sliding window (None: it sees everything), from `layer_types` or the family's own rule."""
    types = keys.data.get("layer_types") or default_types
    if len(types) != layers:
        raise InputError(f"{keys.where}: layer_types names {len(types)} layers of {layers}")
    for kind in types:
        if kind not in ("full_attention", "sliding_attention"):
            raise InputError(f"{keys.where}: layer type {kind!r} is not supported")
    return tuple(window if kind == "sliding_attention" else None for kind in types)


def _common(keys: Keys, head_dim: int, **more: Any) -> DecoderConfig:
    heads = keys.count("num_attention_heads")
    kv_heads = keys.count("num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(f"{keys.where}: {heads} heads do not divide into {kv_heads} key-value heads")
    vocab = keys.count("vocab_size")
    layers = keys.count("num_hidden_layers")
    settings: dict[str, Any] = {
        "dim": keys.count("hidden_size"),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "ffn": keys.count("intermediate_size"),
        "rows": vocab,
        "vocab": vocab,
        "eps": keys.number("rms_norm_eps", 1e-6),
        "windows": (None,) * layers,
    }
    return DecoderConfig(**{**settings, **more})


def llama(keys: Keys) -> Family:
    head_dim, layers = _head_dim(keys), keys.count("num_hidden_layers")
    bias = keys.flag("attention_bias", False)
    decoder = _common(
        keys,
        head_dim,
        ropes=(_rope(keys, head_dim),) * layers,
        activation=keys.activation("hidden_act", default="silu"),
        tied_head=keys.flag("tie_word_embeddings", False),
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=keys.flag("mlp_bias", False),
    )
    return Family("llama", decoder, keys.count("max_position_embeddings", 2048))


def _qwen(keys: Keys, name: str, head_dim: int, **more: Any) -> Family:
    layers = keys.count("num_hidden_layers")
    sliding = keys.flag("use_sliding_window", False)
    first = keys.data.get("max_window_layers", 28)
    types = ["sliding_attention" if sliding and i >= first else "full_attention" for i in range(layers)]
    window = keys.count("sliding_window", 4096) if sliding else None
    decoder = _common(
        keys,
        head_dim,
        ropes=(_rope(keys, head_dim),) * layers,
        windows=_windows(keys, layers, types, window),
        activation=keys.activation("hidden_act", default="silu"),
        tied_head=keys.flag("tie_word_embeddings", False),
        **more,
    )
    return Family(name, decoder, keys.count("max_position_embeddings", 32768))


def qwen2(keys: Keys) -> Family:
    return _qwen(keys, "qwen2", _head_dim(keys), qkv_bias=True)


def qwen3(keys: Keys) -> Family:
    bias = keys.flag("attention_bias", False)
    return _qwen(keys, "qwen3", _head_dim(keys, 128), qkv_bias=bias, out_bias=bias, qk_norm=True)


def _gemma(keys: Keys, name: str, **more: Any) -> Family:
    layers, head_dim = keys.count("num_hidden_layers"), _head_dim(keys, 256)
    bias = keys.flag("attention_bias", False)
    more.setdefault("ropes", (_rope(keys, head_dim),) * layers)
    # Gemma 1 files say hidden_act "gelu" and mean the tanh form (transformers, GemmaMLP).
    activation = keys.activation("hidden_activation", default="gelu_pytorch_tanh")
    decoder = _common(
        keys,
        head_dim,
        activation=activation,
        tied_head=keys.flag("tie_word_embeddings", True),
        qkv_bias=bias,
        out_bias=bias,
        embedding_scale=keys.count("hidden_size") ** 0.5,
        **more,
    )
    return Family(name, decoder, keys.count("max_position_embeddings", 8192), unit_gain=True)


def gemma(keys: Keys) -> Family:
    keys.refuse("use_bidirectional_attention", (False,))
    return _gemma(keys, "gemma")


def gemma2(keys: Keys) -> Family:
    keys.refuse("use_bidirectional_attention", (False,))
    layers = keys.count("num_hidden_layers")
    types = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)]
    return _gemma(
        keys,
        "gemma2",
        post_norms=True,
        query_scale=keys.number("query_pre_attn_scalar", 256) ** -0.5,
        score_softcap=keys.optional_number("attn_logit_softcapping", 50.0),
        logit_softcap=keys.optional_number("final_logit_softcapping", 30.0),
        windows=_windows(keys, layers, types, keys.count("sliding_window", 4096)),
    )


def gemma3_text(keys: Keys) -> Family:
    keys.refuse("use_bidirectional_attention", (False,))
    data, layers, head_dim = keys.data, keys.count("num_hidden_layers"), _head_dim(keys, 256)
    pattern = keys.count("sliding_window_pattern", 6)
    types = ["full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(layers)]
    windows = _windows(keys, layers, types, keys.count("sliding_window", 4096))
    given = data.get("rope_parameters") or {}
    far = dict(given.get("full_attention") or data.get("rope_scaling") or {})
    near = dict(given.get("sliding_attention") or {})
    far.setdefault("rope_theta", data.get("rope_theta") or 1_000_000.0)
    near.setdefault("rope_theta", data.get("rope_local_base_freq") or 10_000.0)
    full, local = rope_from_config(far, head_dim, keys.where), rope_from_config(near, head_dim, keys.where)
    return _gemma(
        keys,
        "gemma3_text",
        post_norms=True,
        qk_norm=True,
        query_scale=keys.number("query_pre_attn_scalar", 256) ** -0.5,
        score_softcap=keys.optional_number("attn_logit_softcapping"),
        logit_softcap=keys.optional_number("final_logit_softcapping"),
        windows=windows,
        ropes=tuple(full if w is None else local for w in windows),
    )


FAMILIES: dict[str, Callable[[Keys], Family]] = {
    "llama": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3_text,
}


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The family a config.json describes, or an InputError naming what is not supported."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise InputError(f"{where}: architecture {kind!r} is not supported", f"these are: {known}")
    keys = Keys(config, where)
    keys.refuse("quantization_config", ())
    return FAMILIES[kind](keys)
