"""The trained speaking model as a Kyutai checkpoint, and that as a package of the device."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from builders.export.kyutai.layers import Precision
from builders.export.kyutai.package import Options, export_lm
from builders.speech.shape import CARD, CODEBOOKS, FRAME_RATE, RATE
from builders.speech.voice.data import AHEAD, DELAY
from builders.speech.voice.tts import ROWS, TEXT_OUT, SpeakingModel, SpeakShape
from noctule.lm.speech.text_normalisation import ENGLISH

NAME = "noctule-tts"
#: the words begin where the model is surest; the sound is drawn a little more freely than its favourite
SAMPLING = {"temp_text": 0.0, "top_k_text": 2, "temp": 0.4, "top_k": 25}


def config(shape: SpeakShape, *, name: str = NAME, sampling: Mapping[str, float] = SAMPLING) -> dict[str, Any]:
    """A Kyutai config.json for these weights."""
    return {
        "dim": shape.dim,
        "text_card": shape.pieces,
        "text_card_out": TEXT_OUT,
        "existing_text_padding_id": shape.padding,
        "existing_text_end_padding_id": shape.new_word,
        "n_q": CODEBOOKS,
        "dep_q": CODEBOOKS,
        "card": CARD,
        "num_heads": shape.heads,
        "num_layers": shape.layers,
        # moshi makes the gate's width out of this: 2/3 of hidden_scale * dim
        "hidden_scale": shape.hidden * 3 / 2 / shape.dim,
        "causal": True,
        "layer_scale": None,
        "context": shape.context,
        "max_period": shape.max_period,
        "gating": "silu",
        "norm": "rms_norm_f32",
        "positional_embedding": "rope",
        "demux_second_text_stream": True,
        "depformer_dim": shape.depth_dim,
        "depformer_dim_feedforward": shape.depth_hidden * 3 // 2,
        "depformer_num_heads": shape.depth_heads,
        "depformer_num_layers": 1,
        "depformer_layer_scale": None,
        "depformer_multi_linear": True,
        "depformer_context": CODEBOOKS,
        "depformer_max_period": shape.max_period,
        "depformer_gating": "silu",
        "depformer_pos_emb": "none",
        "depformer_weights_per_step": True,
        "depformer_low_rank_embeddings": ROWS,
        "delays": [0] * (1 + CODEBOOKS),
        "model_type": "tts",
        "moshi_name": "model.safetensors",
        "tokenizer_name": "tokenizer.model",
        "lm_gen_config": dict(sampling),
        "tts_config": {"audio_delay": DELAY / FRAME_RATE, "second_stream_ahead": AHEAD, "text": ENGLISH},
        "model_id": {"sig": name},
    }


def speaking_model(weights: Mapping[str, Tensor], shape: SpeakShape) -> SpeakingModel:
    """The model of a training checkpoint's weights."""
    model = SpeakingModel(shape)
    model.load_state_dict(dict(weights))
    return model.eval()


def write_checkpoint(
    folder: Path, model: SpeakingModel, tokenizer: Path, sampling: Mapping[str, float] = SAMPLING
) -> None:
    """config.json, weights and tokenizer, as Kyutai publishes its own."""
    folder.mkdir(parents=True, exist_ok=True)
    described = config(model.shape, sampling=sampling)
    (folder / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    save_file(model.checkpoint(), folder / "model.safetensors")
    shutil.copyfile(tokenizer, folder / "tokenizer.model")


def export_tts(
    checkpoint: Path,
    output: Path,
    say: Callable[[str], None],
    *,
    version: str = "1",
    source: str = "",
    build: str = "",
    licence: str = "Apache-2.0",
    precision: Precision | None = None,
) -> dict[str, Any]:
    """Write the package from a checkpoint folder; returns the manifest's `streams`."""
    options = Options(
        precision=precision or Precision("int8", "int8"),
        name=NAME,
        version=version,
        licence=licence,
        source=source,
        build=build,
        sample_rate=RATE,
    )
    with torch.inference_mode():
        return export_lm(checkpoint, output, options, say)
