"""What a Kyutai `config.json` says, as checked values. `kyutai_parse.read_config` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: text-stream ids the published tts checkpoints use (moshi/models/tts.py, TokenIds)
TTS_TOKENS = {"new_word": 0, "main": 1, "other": 2}


@dataclass(frozen=True)
class Norm:
    """A normalisation: `kind` is "rms" or "layer"."""

    kind: str
    eps: float


@dataclass(frozen=True)
class Conditioner:
    """One input that conditions the whole generation.

    `kind` is "lut" (a word out of `values`, or a hash bin) or "tensor" (frames of `dim`); `fuse` is "sum" or "cross".
    """

    name: str
    kind: str
    fuse: str
    dim: int
    bins: int = 0
    values: tuple[str, ...] | None = None
    projected: bool = True
    learnt_padding: bool = True


@dataclass(frozen=True)
class Depformer:
    """The depth transformer that predicts the codebooks of one frame one after another."""

    dim: int
    heads: int
    kv_heads: int
    layers: int
    hidden: tuple[int, ...]
    gating: str
    schedule: tuple[int, ...]
    multi_linear: bool
    low_rank: int | None
    out_norm: Norm | None
    layer_scale: bool

    @property
    def sets(self) -> int:
        """How many sets of weights the steps share."""
        return max(self.schedule) + 1


@dataclass(frozen=True)
class KyutaiConfig:
    """Everything the exporter needs from config.json, checked."""

    name: str
    dim: int
    heads: int
    kv_heads: int
    layers: int
    hidden: int
    gating: str
    norm: Norm
    rope_interleaved: bool
    max_period: float
    context: int
    n_q: int
    dep_q: int
    card: int
    text_card: int
    text_card_out: int
    delays: tuple[int, ...]
    padding: int
    end_padding: int
    norm_emb: bool
    bias_proj: bool
    layer_scale: bool
    cross_attention: bool
    demux: bool
    extra_heads: int
    extra_dim: int
    depformer: Depformer | None
    conditioners: tuple[Conditioner, ...]
    cross_positions: float
    quantised: bool
    model_type: str
    weights_name: str
    mimi_name: str
    mimi_config_name: str
    tokenizer_name: str
    sampling: dict[str, Any] = field(default_factory=dict)
    stt: dict[str, Any] = field(default_factory=dict)
    tts: dict[str, Any] = field(default_factory=dict)
    model_id: dict[str, Any] = field(default_factory=dict)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads

    @property
    def streams(self) -> int:
        """Embedding rows summed per frame: text (two when demultiplexed) and the audio codebooks."""
        return 1 + int(self.demux) + self.n_q


def gated_hidden(dim: int, feedforward: int) -> int:
    """Width of a gated feed-forward layer (moshi/modules/gating.py)."""
    return (21 * dim) // 8 if feedforward == 4 * dim else (2 * feedforward) // 3
