"""Bad checkpoints: one sentence that names what is wrong, and nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from builders.export.kyutai import package as kyutai
from builders.export.mimi import package as mimi
from kyutai_checkpoints import (
    CONFIG,
    MIMI,
    Array,
    Config,
    export,
    make,
    quiet,
    save,
    weights,
)
from noctule.core.errors import InputError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


# -- bad input --------------------------------------------------------------------------------------------------


def refused(folder: Path, output: Path) -> str:
    """The one sentence; nothing may be left beside the checkpoint."""
    before = sorted(output.parent.iterdir())
    with pytest.raises(InputError) as error:
        export(folder, output)
    assert sorted(output.parent.iterdir()) == before
    assert "\n" not in error.value.message
    return str(error.value.message)


Change = Callable[[dict[str, Array]], dict[str, Array]]
HEAD = "text_linear.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {n: v for n, v in t.items() if n != HEAD}, "lacks text_linear.weight"),
        (lambda t: {**t, HEAD: t[HEAD][:, :-1].copy()}, r"text_linear.weight has shape \[64, 15\]"),
        (lambda t: {**t, HEAD: t[HEAD].astype(np.int64)}, "text_linear.weight is of type I64"),
        (lambda t: {**t, HEAD: np.ones_like(t[HEAD], np.int8)}, "int8 without the scales"),
        (
            lambda t: {**t, HEAD: np.full_like(t[HEAD], np.nan)},
            "text_linear.weight holds values that are not numbers",
        ),
        (lambda t: {**t, "emb.2.weight": np.full_like(t["emb.2.weight"], np.inf)}, "emb.2.weight holds values"),
        (lambda t: {**t, "vision.weight": t[HEAD]}, "vision.weight, which its config does not describe"),
    ],
)
def test_bad_tensors_are_refused_by_name(checkpoint: Path, tmp_path: Path, change: Change, says: str) -> None:
    save(checkpoint / "model.safetensors", change(weights(checkpoint / "config.json")))

    assert re.search(says, refused(checkpoint, tmp_path / "out"))


def test_a_truncated_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    file = checkpoint / "model.safetensors"
    whole = file.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "truncated" in refused(checkpoint, tmp_path / "out")
    file.write_bytes(b"\x10" + b"\0" * 7 + b"not json at all!" + whole)
    assert "not a safetensors file" in refused(checkpoint, tmp_path / "out")
    file.unlink()
    assert "not there" in refused(checkpoint, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n_heads": 4}, "n_heads is not a setting"),
        ({"delays": [0, 0]}, "delays has 2 entries"),
        ({"num_heads": 5}, "num_heads is 5"),
        ({"gating": "swish"}, "gating is 'swish'"),
        ({"norm": "batch"}, "norm is 'batch'"),
        ({"positional_embedding": "sin"}, "positional_embedding is 'sin'"),
        ({"dim": "16"}, "dim: expected a whole number"),
        ({"dep_q": 5}, "dep_q is 5"),
        ({"causal": False}, "causal is false"),
        ({"depformer_pos_emb": "rope"}, "depformer_pos_emb is 'rope'"),
        ({"depformer_weights_per_step": False}, "depformer_weights_per_step is false"),
        ({"depformer_weights_per_step_schedule": [0]}, "has 1 entries"),
        ({"lora_name": "adapter.safetensors"}, "lora adapters"),
        (
            {"conditioners": {"mood": {"type": "clap"}}, "fuser": {"sum": ["mood"]}},
            "conditioners.mood.type is 'clap'",
        ),
        (
            {
                "conditioners": {"mood": {"type": "lut", "lut": {"dim": 4, "n_bins": 2, "tokenizer": "bert"}}},
                "fuser": {"sum": ["mood"]},
            },
            "tokenizer is 'bert'",
        ),
        ({"fuser": {"sum": ["mood"]}}, "mood"),
        ({"fuser": {"prepend": ["mood"]}}, "prepend"),
        ({"cross_attention": True}, "cross_attention is true"),
        ({"lm_gen_config": {"heat": 1}}, "lm_gen_config.heat"),
        ({"model_type": "vision"}, "model_type is 'vision'"),
    ],
)
def test_a_config_it_does_not_understand_is_refused_by_key(
    checkpoint: Path, tmp_path: Path, change: Config, says: str
) -> None:
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, **change}))
    assert says in refused(checkpoint, tmp_path / "out")


def test_configs_of_other_models_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "architectures": ["Llama"]}))
    assert "llama model in transformers' form" in refused(checkpoint, tmp_path / "out")
    path.write_text("[1, 2]")
    assert "holds a list, expected an object" in refused(checkpoint, tmp_path / "out")
    path.write_text("{")
    assert "not valid JSON" in refused(checkpoint, tmp_path / "out")
    path.write_text(json.dumps({key: value for key, value in CONFIG.items() if key != "hidden_scale"}))
    assert "hidden_scale is missing" in refused(checkpoint, tmp_path / "out")


def test_the_tokenizer_must_be_the_models_own(checkpoint: Path, tmp_path: Path) -> None:
    file = checkpoint / "tokenizer_spm_32k_3.model"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"]),
        model_prefix=str(tmp_path / "other"),
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    shutil.copy(tmp_path / "other.model", file)
    assert "pieces, and the model's text_card is 64" in refused(checkpoint, tmp_path / "out")
    file.write_bytes(b"no model")
    assert "not a SentencePiece model" in refused(checkpoint, tmp_path / "out")
    file.unlink()
    assert "tokenizer that config.json names is not there" in refused(checkpoint, tmp_path / "out")


def test_buckets_must_fit_the_context(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bucket of 9"):
        kyutai.export_lm(checkpoint, tmp_path / "out", kyutai.Options(buckets=(9,)), quiet)
    assert kyutai.context_buckets((), 3000) == [128, 512, 3000]
    assert kyutai.context_buckets((), 100) == [100]
    assert kyutai.context_buckets((4,), 8) == [4, 8]


# -- parts ------------------------------------------------------------------------------------------------------


def test_a_disk_too_small_is_refused_before_the_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5))  # type: ignore[attr-defined]
    assert "GB free" in refused(checkpoint, tmp_path / "out")


def test_mimi_refuses_settings_and_tensors_by_name(checkpoint: Path, tmp_path: Path) -> None:
    weights_file, path = checkpoint / "tokenizer-e351c8d8-checkpoint125.safetensors", checkpoint / "mimi.json"

    def says(change: Config) -> str:
        path.write_text(json.dumps({**MIMI, **change}))
        with pytest.raises(InputError) as error:
            mimi.export_codec(weights_file, path, tmp_path / "codec", mimi.Options(2), quiet)
        assert not (tmp_path / "codec").exists()
        return str(error.value.message)

    assert "seanet.attention is not a setting" in says({"seanet": {**MIMI["seanet"], "attention": 1}})
    assert "activation is 'ReLU'" in says({"seanet": {**MIMI["seanet"], "activation": "ReLU"}})
    assert "n_filters" in says({"seanet": {k: v for k, v in MIMI["seanet"].items() if k != "n_filters"}})
    assert "context of 7" in says({"transformer": {**MIMI["transformer"], "context": 7}})
    assert "resampler is missing or unknown" in says({"resampler": 1})
    assert "has shape" in says({"quantizer": {**MIMI["quantizer"], "bins": 13}})
    assert "has 3 codebooks" in _codebooks(weights_file, path, tmp_path)


def _codebooks(weights_file: Path, path: Path, tmp_path: Path) -> str:
    path.write_text(json.dumps(MIMI))
    with pytest.raises(InputError) as error:
        mimi.export_codec(weights_file, path, tmp_path / "codec", mimi.Options(9), quiet)
    return str(error.value.message)
