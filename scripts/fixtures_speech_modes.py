#!/usr/bin/env python3
"""Rebuild tests/fixtures/kyutai-tiny-modes: a tiny speech-to-text and a tiny text-to-speech package, and what `moshi`
answers in these modes.

    scripts/fixtures_speech_modes.py            (host environment: torch and moshi)

Random, seeded weights in the shapes of stt-1b-en_fr and tts-1.6b-en_fr made small: extra heads and no depformer; two
text streams in one, shared depformer weights, low-rank embeddings, a speaker by cross-attention and two summed
conditions.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

import numpy as np  # noqa: E402
import sentencepiece  # noqa: E402
import torch  # noqa: E402
from moshi.conditioners import ConditionAttributes, TensorCondition  # noqa: E402
from moshi.models import LMGen, LMModel  # noqa: E402
from moshi.models.tts import StateMachine, TokenIds, TTSModel  # noqa: E402

from exporting import kyutai  # noqa: E402
from exporting.kyutai_layers import Precision  # noqa: E402
from exporting.kyutai_reference import build_model, write_checkpoint  # noqa: E402

FIXTURES = _HERE.parent / "tests" / "fixtures" / "kyutai-tiny-modes"
CARD, TEXT_CARD = 24, 64

_BASE: dict[str, Any] = {
    "dim": 32, "text_card": TEXT_CARD, "existing_text_padding_id": 3, "n_q": 3, "card": CARD, "num_heads": 4,
    "num_layers": 2, "hidden_scale": 4.125, "causal": True, "layer_scale": None, "context": 24, "max_period": 10000,
    "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope", "depformer_dim": 24,
    "depformer_dim_feedforward": 96, "depformer_num_heads": 2, "depformer_num_layers": 2,
    "depformer_layer_scale": None, "depformer_multi_linear": True, "depformer_context": 3,
    "depformer_max_period": 10000, "depformer_gating": "silu", "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
}  # fmt: skip
STT: dict[str, Any] = {
    **_BASE, "model_type": "stt", "dep_q": 0, "delays": [0, 0, 0, 0],
    "extra_heads_num_heads": 4, "extra_heads_dim": 6,
    "stt_config": {"audio_delay_seconds": 0.24, "audio_silence_prefix_seconds": 0.16},
    "lm_gen_config": {"temp": 0.0, "temp_text": 0.0, "top_k": 20, "top_k_text": 8},
}  # fmt: skip
TTS: dict[str, Any] = {
    **_BASE, "model_type": "tts", "dep_q": 3, "delays": [0, 0, 1, 1], "cross_attention": True,
    "demux_second_stream": True, "depformer_weights_per_step_schedule": [0, 1, 1], "depformer_low_rank_embeddings": 8,
    "conditioners": {
        "speaker_wavs": {"type": "tensor", "tensor": {"dim": 8}},
        "control": {"type": "lut", "lut": {"n_bins": 2, "dim": 8, "tokenizer": "noop", "possible_values": ["ok"]}},
        "cfg": {
            "type": "lut",
            "lut": {"n_bins": 4, "dim": 8, "tokenizer": "noop", "possible_values": ["1.0", "2.0", "3.0"]},
        },
    },
    "fuser": {
        "cross_attention_pos_emb": True, "cross_attention_pos_emb_scale": 1, "sum": ["control", "cfg"], "prepend": [],
        "cross": ["speaker_wavs"],
    },
    "tts_config": {"audio_delay": 0.24, "second_stream_ahead": 2},
    "lm_gen_config": {"temp": 0.0, "temp_text": 0.0, "top_k": 20, "top_k_text": 8},
}  # fmt: skip
#: a published voice fills 5 speakers; ours are 4 frames each
VOICE_FRAMES, SPEAKERS = 4, 5
FRAMES = 60
TURNS = ['turn on the lamp: please <break time="0.4s"/> now', "what time is it"]


@torch.no_grad()
def hear(model: LMModel) -> dict[str, Any]:
    """moshi's LMGen over random codes as run_inference.py feeds it (the first frame twice): text and extra heads."""
    codes = np.random.default_rng(4).integers(0, CARD, (FRAMES, model.n_q))
    generator = LMGen(model, use_sampling=False)
    text, extra = [], []
    with generator.streaming(1):
        for t in [0, *range(FRAMES)]:
            found = generator.step_with_extra_heads(torch.from_numpy(codes[t][None, :, None]))
            if found is not None:
                text.append(int(found[0][0, 0, 0]))
                extra.append([head[0, 0].numpy() for head in found[1]])
    return {"stt_codes": codes.astype(np.int16), "stt_text": np.array(text, np.int16), "stt_extra": np.array(extra)}


def speak(model: LMModel, tokenizer: Path) -> dict[str, Any]:
    """moshi's TTSModel.generate, greedy: plain, and continuing a voice prefix."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    frame_rate, settings = 12.5, TTS["tts_config"]
    machine = StateMachine(TokenIds(TEXT_CARD + 1), settings["second_stream_ahead"], max_padding=8, initial_padding=2)
    tts = TTSModel(
        lm=model, mimi=SimpleNamespace(frame_rate=frame_rate), tokenizer=processor, voice_suffix="", voice_repo="",
        machine=machine, delay_steps=int(settings["audio_delay"] * frame_rate), temp=0.0, n_q=3, max_gen_length=400,
    )  # fmt: skip
    rng = np.random.default_rng(6)
    voice = rng.standard_normal((VOICE_FRAMES, 8)).astype(np.float32)
    rows = np.zeros((1, SPEAKERS * VOICE_FRAMES, 8), np.float32)
    rows[0, :VOICE_FRAMES] = voice
    mask = np.zeros(rows.shape[:2], bool)
    mask[0, :VOICE_FRAMES] = True
    attributes = ConditionAttributes(
        text={"control": "ok", "cfg": "2.0"},
        tensor={"speaker_wavs": TensorCondition(torch.from_numpy(rows), torch.from_numpy(mask))},
    )
    prefix = np.concatenate([np.full((1, 6), -1), rng.integers(0, CARD, (3, 6))])
    out: dict[str, Any] = {"tts_voice": voice, "tts_prefix": prefix[1:].astype(np.int16)}
    for name, prefixes in (("tts", None), ("tts_prefixed", [torch.from_numpy(prefix)])):
        result = tts.generate([tts.prepare_script(TURNS)], [attributes], prefixes, use_sampling=False)
        out[f"{name}_frames"] = np.array([frame[0, :, 0].numpy() for frame in result.frames]).astype(np.int32)
        out[f"{name}_end"] = np.array(result.end_steps[0])
        out[f"{name}_word_steps"] = np.array([step for _, step in result.all_transcripts[0]])
    return out


def main() -> None:
    """Write the fixtures."""
    torch.set_num_threads(1)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    recorded: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, config in (("stt", STT), ("tts", TTS)):
            checkpoint = Path(scratch) / f"kyutai-tiny-{name}"
            model = build_model(config)
            write_checkpoint(checkpoint, config, model)
            options = kyutai.Options(
                precision=Precision("float32", "float32"), buckets=(8,), cross_frames=SPEAKERS * VOICE_FRAMES,
                licence="Apache-2.0", source="random weights, seed 0", build="scripts/fixtures_speech_modes.py",
            )  # fmt: skip
            kyutai.export_lm(checkpoint, FIXTURES / name, options, lambda line: print(line, file=sys.stderr))
            tokenizer = FIXTURES / name / "tokenizer.model"
            recorded.update(hear(model) if name == "stt" else speak(model, tokenizer))
    np.savez_compressed(FIXTURES / "reference.npz", **recorded)
    total = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{FIXTURES}: {total / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
