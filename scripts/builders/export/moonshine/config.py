"""The sizes of a Moonshine model. Source: Jeffries et al., *Moonshine* (arXiv 2410.15608), section 3.

The model hears 16 kHz sound through three convolutions (127/64, 7/3, 3/2 samples or frames: width/stride), an encoder
and a decoder of pre-norm transformers with rotary positions on part of each head.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError

SAMPLE_RATE = 16000
#: width and stride of the convolutions
CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))


@dataclass(frozen=True)
class MoonshineConfig:
    """dim: of the residual; heads of head_dim = dim / heads; rotary: how many of a head's dimensions turn."""

    dim: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    inner: int
    vocab: int
    rotary: int
    theta: float = 10000.0
    bos: int = 1
    eos: int = 2

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


TINY = MoonshineConfig(
    dim=288, heads=8, encoder_layers=6, decoder_layers=6, inner=1152, vocab=32768, rotary=32
)  # fmt: skip


def frames_of(samples: int) -> tuple[int, int, int]:
    """Frames that each convolution makes of so many samples, 0 where there are too few."""
    counts, length = [], samples
    for width, stride in CONVOLUTIONS:
        length = max(0, (length - width) // stride + 1)
        counts.append(length)
    return counts[0], counts[1], counts[2]


def read_config(path: Path) -> MoonshineConfig:
    """From a checkpoint's config.json. Raises InputError where it is no Moonshine that these graphs compute."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no config.json in the checkpoint", "download every file of it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict) or raw.get("model_type") != "moonshine":
        raise InputError(f"{path} is not a Moonshine checkpoint's config.json (model_type is not moonshine)")
    heads = _number(path, raw, "encoder_num_attention_heads", 8)
    for key, expected in (
        ("decoder_num_attention_heads", heads),
        ("encoder_num_key_value_heads", heads),
        ("decoder_num_key_value_heads", heads),
        ("encoder_hidden_act", "gelu"),
        ("decoder_hidden_act", "silu"),
        ("attention_bias", False),
        ("tie_word_embeddings", True),
    ):
        found = raw.get(key, expected)
        if found is not None and found != expected:
            raise InputError(f"{path}: {key} is {found!r}; only models where it is {expected!r} can be imported")
    rope = raw.get("rope_parameters") or {}
    dim = _number(path, raw, "hidden_size", 288)
    partial = float(rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", 0.9)))
    if dim % heads:
        raise InputError(f"{path}: hidden_size {dim} does not divide among {heads} heads")
    return MoonshineConfig(
        dim=dim,
        heads=heads,
        encoder_layers=_number(path, raw, "encoder_num_hidden_layers", 6),
        decoder_layers=_number(path, raw, "decoder_num_hidden_layers", 6),
        inner=_number(path, raw, "intermediate_size", 1152),
        vocab=_number(path, raw, "vocab_size", 32768),
        rotary=int(dim // heads * partial),
        theta=float(rope.get("rope_theta", raw.get("rope_theta", 10000.0))),
        bos=_number(path, raw, "bos_token_id", 1),
        eos=_number(path, raw, "eos_token_id", 2),
    )


def _number(path: Path, raw: dict[str, Any], key: str, default: int) -> int:
    value = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{path}: {key} is {value!r}, expected a whole number above 0")
    return value
