"""config.json of the published Kyutai checkpoints, with every per-layer shape real.

Sources: configs/ of github.com/kyutai-labs/moshi (moshi_7b_202409, moshi_dev_2b, stt_1b_enfr, stt_2.6b_en), configs/
of github.com/kyutai-labs/delayed-streams-modeling, and the config.json of the checkpoints' repositories. What does
not shape a layer is made small for the tests: number of layers, vocabularies, context.
"""

from __future__ import annotations

from typing import Any

_GENERATION = {"temp": 0.0, "temp_text": 0.0, "top_k": 250, "top_k_text": 50}

_MAIN: dict[str, Any] = {
    "existing_text_padding_id": 3,
    "card": 2048,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
}
_DEPTH: dict[str, Any] = {
    "depformer_dim": 1024,
    "depformer_dim_feedforward": 4224,
    "depformer_num_heads": 16,
    "depformer_num_layers": 6,
    "depformer_causal": True,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
}
_DESCRIPTION: dict[str, Any] = {
    "conditioners": {
        "description": {
            "type": "lut",
            "lut": {
                "n_bins": 31,
                "dim": 16,
                "tokenizer": "noop",
                "possible_values": ["very_bad", "bad", "neutral", "good", "very_good"],
            },
        }
    },
    "fuser": {"sum": ["description"]},
}

PUBLISHED: dict[str, dict[str, Any]] = {
    "moshiko": {
        **_MAIN,
        **_DEPTH,
        "dim": 4096,
        "text_card": 32000,
        "n_q": 16,
        "dep_q": 8,
        "num_heads": 32,
        "num_layers": 32,
        "context": 3000,
        "max_period": 10000,
        "depformer_context": 8,
        "delays": [0, 0, *[1] * 7, 0, *[1] * 7],
    },
    "stt-1b-en_fr": {
        **_MAIN,
        "dim": 2048,
        "text_card": 8000,
        "n_q": 32,
        "dep_q": 0,
        "num_heads": 16,
        "num_layers": 16,
        "context": 750,
        "max_period": 100000,
        "delays": [0] * 33,
        "extra_heads_num_heads": 4,
        "extra_heads_dim": 6,
        "depformer_multi_linear": True,
        "depformer_weights_per_step": True,
        "fuser": None,
        "model_type": "stt",
        "mimi_name": "mimi-pytorch-e351c8d8@125.safetensors",
        "tokenizer_name": "tokenizer_en_fr_audio_8000.model",
        "stt_config": {"audio_delay_seconds": 0.5, "audio_silence_prefix_seconds": 0.0},
        "lm_gen_config": _GENERATION,
    },
    "stt-2.6b-en": {
        **_MAIN,
        "dim": 2048,
        "text_card": 4000,
        "n_q": 32,
        "dep_q": 0,
        "num_heads": 32,
        "num_layers": 48,
        "context": 375,
        "max_period": 100000,
        "delays": [0] * 33,
        "fuser": None,
        "model_type": "stt",
        "mimi_name": "mimi-pytorch-e351c8d8@125.safetensors",
        "tokenizer_name": "tokenizer_en_audio_4000.model",
        "stt_config": {"audio_delay_seconds": 2.5, "audio_silence_prefix_seconds": 1.0},
        "lm_gen_config": _GENERATION,
    },
    "tts-1.6b-en_fr": {
        **_MAIN,
        **_DEPTH,
        "dim": 2048,
        "text_card": 8000,
        "text_card_out": None,
        "n_q": 32,
        "dep_q": 32,
        "num_heads": 16,
        "num_layers": 16,
        "context": 500,
        "max_period": 10000,
        "delays": [0, 0, *[2] * 31],
        "depformer_dim_feedforward": 3072,
        "depformer_num_layers": 4,
        "depformer_low_rank_embeddings": 128,
        "depformer_weights_per_step_schedule": [*range(8), *[8] * 8, *[9] * 8, *[10] * 8],
        "demux_second_stream": True,
        "cross_attention": True,
        "conditioners": {
            "speaker_wavs": {"type": "tensor", "tensor": {"dim": 512}},
            "cfg": {
                "type": "lut",
                "lut": {
                    "n_bins": 7,
                    "dim": 16,
                    "tokenizer": "noop",
                    "possible_values": ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"],
                },
            },
            "control": {
                "type": "lut",
                "lut": {"n_bins": 1, "dim": 2048, "tokenizer": "noop", "possible_values": ["ok"]},
            },
        },
        "fuser": {
            "cross_attention_pos_emb": True,
            "cross_attention_pos_emb_scale": 1,
            "sum": ["control", "cfg"],
            "prepend": [],
            "cross": ["speaker_wavs"],
        },
        "tts_config": {"audio_delay": 1.28, "second_stream_ahead": 2},
        "model_id": {"sig": "1e68beda", "epoch": 240},
        "model_type": "tts",
        "lm_gen_config": {"temp": 0.6, "text_temp": 0.6},
        "mimi_name": "tokenizer-e351c8d8-checkpoint125.safetensors",
        "moshi_name": "dsm_tts_1e68beda@240.safetensors",
        "tokenizer_name": "tokenizer_spm_8k_en_fr_audio.model",
    },
    "hibiki-1b": {
        **_MAIN,
        **_DEPTH,
        **_DESCRIPTION,
        "dim": 2048,
        "text_card": 48000,
        "n_q": 16,
        "dep_q": 8,
        "num_heads": 16,
        "num_layers": 16,
        "context": 1500,
        "max_period": 100000.0,
        "depformer_dim_feedforward": None,
        "delays": [0, 0, *[2] * 7, 0, *[2] * 7],
        "cross_attention": False,
        "model_type": "hibiki",
        "mimi_name": "mimi-pytorch-e351c8d8@125.safetensors",
        "tokenizer_name": "tokenizer_spm_48k_multi6_2.model",
    },
    "hibiki-2b": {
        **_MAIN,
        **_DEPTH,
        **_DESCRIPTION,
        "dim": 2560,
        "text_card": 48000,
        "n_q": 32,
        "dep_q": 16,
        "num_heads": 20,
        "num_layers": 24,
        "context": 3000,
        "max_period": 100000,
        "depformer_context": 16,
        "delays": [0, 0, *[2] * 15, 0, *[2] * 15],
        "model_type": "hibiki",
        "mimi_name": "mimi-pytorch-e351c8d8@125.safetensors",
        "tokenizer_name": "tokenizer_spm_48k_multi6_2.model",
    },
    "hibiki-zero-3b": {
        **_MAIN,
        **_DEPTH,
        "dim": 2048,
        "text_card": 48000,
        "n_q": 32,
        "dep_q": 16,
        "num_heads": 16,
        "num_layers": 28,
        "hidden_scale": 6.0,
        "context": 3000,
        "max_period": 20000.0,
        "kv_repeat": 2,
        "positional_embedding": "rope_concat",
        "depformer_kv_repeat": 1,
        "depformer_norm": "layer_norm",
        "depformer_weights_per_step_schedule": [*range(8), *[8] * 8],
        "depformer_dim_feedforward": None,
        "delays": [0, 0, *[2] * 15, 0, *[2] * 15],
        "model_type": "hibiki",
    },
}


def shrunk(name: str) -> dict[str, Any]:
    """A published config with few layers, small vocabularies and a context that wraps in a few frames."""
    config = {
        **PUBLISHED[name],
        "num_layers": 1 if PUBLISHED[name]["dim"] > 3000 else 2,
        "context": 6,
        "card": 40,
        "text_card": 64,
    }
    if config["dep_q"]:
        config["depformer_num_layers"] = 1 if config["dep_q"] > 8 or config["dim"] > 3000 else 2
    return config
