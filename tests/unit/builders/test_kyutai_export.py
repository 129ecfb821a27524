"""Exporting Kyutai checkpoints in every stored form; the two packages of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export_lm
from builders.export.kyutai import layers as kyutai_layers
from builders.export.kyutai.config import gated_hidden
from builders.export.kyutai.weights import Tensors, quantise_blocks, quantise_rows
from builders.tflite import writer as tflite_writer
from kyutai_checkpoints import (
    CONFIG,
    Array,
    bfloat16,
    close,
    export,
    make,
    save,
    text_logits,
    weights,
)
from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import load_manifest


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_bfloat16_and_float16_are_read(checkpoint: Path, tmp_path: Path) -> None:
    export(checkpoint, tmp_path / "f32")
    tensors = weights(checkpoint / "config.json")
    rounded = {name: bfloat16(values) for name, values in tensors.items()}
    save(checkpoint / "model.safetensors", rounded)
    export(checkpoint, tmp_path / "bf16")
    exact = {name: (v.astype(np.uint32) << 16).view(np.float32) for name, v in rounded.items()}
    save(checkpoint / "model.safetensors", exact)
    export(checkpoint, tmp_path / "rounded")
    assert np.array_equal(text_logits(tmp_path / "bf16"), text_logits(tmp_path / "rounded"))
    assert not np.array_equal(text_logits(tmp_path / "bf16"), text_logits(tmp_path / "f32"))
    save(checkpoint / "model.safetensors", {name: v.astype(np.float16) for name, v in tensors.items()})
    export(checkpoint, tmp_path / "f16")
    assert close(text_logits(tmp_path / "f16"), text_logits(tmp_path / "f32"), 0.01)


def test_stacked_projections_are_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    tensors = weights(checkpoint / "config.json")
    stacked = {name: v for name, v in tensors.items() if "_projs." not in name}
    for prefix in ("transformer.layers.0.self_attn", "depformer.layers.0.self_attn"):
        for part, name in (("in_projs", "in_proj_weight"), ("out_projs", "out_proj.weight")):
            steps = sorted(n for n in tensors if n.startswith(f"{prefix}.{part}."))
            stacked[f"{prefix}.{name}"] = np.concatenate([tensors[n] for n in steps])
    export(checkpoint, tmp_path / "plain")
    save(checkpoint / "model.safetensors", stacked)
    export(checkpoint, tmp_path / "stacked")
    assert np.array_equal(text_logits(tmp_path / "plain"), text_logits(tmp_path / "stacked"))


def q8(tensors: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Kyutai's int8 form of a checkpoint, and the floats it stands for."""
    linear = ("_projs.", "linear", "depformer_in.", "linears.", "extra_heads")
    stored, floats = {}, {}
    for name, values in tensors.items():
        stored[name] = floats[name] = values
        if any(part in name for part in linear):
            largest = np.abs(values).max(axis=1)
            stored[name] = np.rint(values * 127 / largest[:, None]).astype(np.int8)
            stored[f"{name}_scb"] = largest
            floats[name] = (stored[name] * (largest / np.float32(127))[:, None]).astype(np.float32)
    return stored, floats


def test_the_q8_form_keeps_its_integers(checkpoint: Path, tmp_path: Path) -> None:
    stored, floats = q8(weights(checkpoint / "config.json"))
    save(checkpoint / "model.safetensors", floats)
    export(checkpoint, tmp_path / "floats")
    export(checkpoint, tmp_path / "requantised", ("int8", "int8"))
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, "quantize": True}))
    save(checkpoint / "model.safetensors", stored)
    export(checkpoint, tmp_path / "q8", ("int8", "int8"))
    export(checkpoint, tmp_path / "q8_as_floats")
    assert close(text_logits(tmp_path / "q8_as_floats"), text_logits(tmp_path / "floats"), 1e-5)
    # quantising the floats again finds the same integers, since 127 is among every row's
    assert close(text_logits(tmp_path / "q8"), text_logits(tmp_path / "requantised"), 1e-5)


@pytest.mark.parametrize(("precision", "likeness"), [(("int8", "int8"), 0.999), (("int4", "int8"), 0.97)])
def test_quantised_packages_are_near_and_smaller(
    checkpoint: Path, tmp_path: Path, precision: tuple[str, str], likeness: float
) -> None:
    make(checkpoint, {"dim": 64, "depformer_dim": 32})
    full = export(checkpoint, tmp_path / "full")
    small = export(checkpoint, tmp_path / "small", precision)
    found, exact = text_logits(tmp_path / "small").ravel(), text_logits(tmp_path / "full").ravel()
    assert np.corrcoef(found, exact)[0, 1] > likeness
    sizes = [(tmp_path / name / "model.tflite").stat().st_size for name in ("full", "small")]
    assert sizes[1] < 0.6 * sizes[0]
    assert small["bytes_per_frame"]["total"] < 0.7 * full["bytes_per_frame"]["total"]


def test_the_manifest_says_what_the_config_says(checkpoint: Path, tmp_path: Path) -> None:
    make(checkpoint, {"lm_gen_config": {"temp": 0.6, "text_temp": 0.5, "top_k": 9}, "existing_text_padding_id": 7})
    streams = export(checkpoint, tmp_path / "out")
    assert streams["offsets"] == [0, 65, 78, 91, 104, 117]
    assert (streams["text_padding"], streams["initial_text"], streams["initial_audio"]) == (7, 64, 12)
    assert streams["delays"] == CONFIG["delays"]
    assert streams["mode"] == ["duplex"]
    assert streams["sampling"] == {
        "text": {"temperature": 0.5, "top_k": 25},
        "audio": {"temperature": 0.6, "top_k": 9},
    }
    assert streams["buckets"] == [8]
    manifest = load_manifest(tmp_path / "out", "speech-lm")
    assert manifest.context == 8
    assert manifest.tokenizer is not None
    assert manifest.tokenizer.vocab_size == 64


def test_every_tensor_of_the_checkpoint_matters(checkpoint: Path, tmp_path: Path) -> None:
    """No tensor is read and then forgotten: changing any one of them changes some logits."""
    tensors = weights(checkpoint / "config.json")
    export(checkpoint, tmp_path / "out")
    golden = load_manifest(tmp_path / "out", "speech-lm").raw["streams"]["golden"]
    for name in tensors:
        changed = {**tensors, name: tensors[name][::-1].copy() * 1.5 + 0.1}
        save(checkpoint / "model.safetensors", changed)
        assert export(checkpoint, tmp_path / "other")["golden"] != golden, name


# -- the command ------------------------------------------------------------------------------------------------


def command(folder: Path, output: Path, *more: str) -> int:
    return export_lm.main([str(folder), "-o", str(output), "--mimi-config", str(folder / "mimi.json"), *more])


def test_the_command_writes_both_packages_and_says_what_they_need(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(checkpoint, tmp_path / "talk") == 0
    said = capsys.readouterr()
    for words in ("duplex, context 8 frames", "each frame of 80 ms reads", "GB/s", "Raspberry Pi 5", "keeps up"):
        assert words in said.out
    assert "temporal layer 1 of 1" in said.err
    assert load_manifest(tmp_path / "talk", "speech-lm").raw["architecture"]["linear"] == "int8"
    codec = load_manifest(tmp_path / "talk-codec", "codec")
    assert codec.raw["codec"]["n_q"] == 2
    assert codec.build == "scripts/export_lm.py checkpoint -o talk --quant int8"


def test_a_codec_that_does_not_fit_leaves_no_half_model(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert export_lm.main([str(checkpoint), "-o", str(tmp_path / "talk")]) == 65  # not the published Mimi's widths
    assert sorted(tmp_path.iterdir()) == before
    assert "which its config asks for" in capsys.readouterr().err
    (checkpoint / "tokenizer-e351c8d8-checkpoint125.safetensors").unlink()
    assert command(checkpoint, tmp_path / "talk") == 65
    assert "codec that config.json names is not there" in capsys.readouterr().err
    assert command(checkpoint, tmp_path / "talk", "--no-codec") == 0
    assert not (tmp_path / "talk-codec").exists()


def test_a_folder_that_is_no_package_is_not_replaced(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "letter.txt").write_text("dear")
    assert command(checkpoint, tmp_path / "talk") == 65
    assert "not a model package" in capsys.readouterr().err
    assert (tmp_path / "talk" / "letter.txt").read_text() == "dear"
    assert command(checkpoint, tmp_path / "say", "--quant", "int8-tensor") == 65
    assert "not for speech models" in capsys.readouterr().err
    assert command(checkpoint, tmp_path / "say", "--cache", "int8") == 65
    assert "--cache is for text models" in capsys.readouterr().err


def test_row_quantisation_is_within_half_a_step() -> None:
    values = np.random.default_rng(0).standard_normal((7, 33)).astype(np.float32)
    values[3] = 0
    integers, scale = quantise_rows(values)
    assert np.abs(integers * scale[:, None] - values).max() <= scale.max() / 2 + 1e-6
    assert np.abs(integers).max() == 127


def test_block_quantisation_is_within_half_a_step() -> None:
    values = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    values[2] = 0
    integers, scales = quantise_blocks(values, 32)
    steps = np.repeat(scales.astype(np.float32), 32, axis=1)
    assert (np.abs(integers * steps - values) <= steps * 0.51).all()
    assert integers.min() >= -8
    assert integers.max() <= 7


def test_gated_width_follows_the_reference() -> None:
    assert gated_hidden(4096, int(4.125 * 4096)) == 11264
    assert gated_hidden(1024, 4096) == 2688  # the special case of 4 * dim


def test_tensors_are_read_in_parts(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {"x": np.arange(12, dtype=np.float32).reshape(4, 3)})
    file = Tensors(tmp_path / "a.safetensors")
    assert file.take("x", 1, 2).tolist() == [[3, 4, 5], [6, 7, 8]]
    with pytest.raises(InputError, match="row 5"):
        file.take("x", 3, 2)


def test_a_graph_that_is_not_the_checkpoints_model_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The float32 oracle is written apart from the graphs: rotary rows left in their stored order are noticed."""
    monkeypatch.setattr(
        kyutai_layers, "rotary_rows", lambda heads, dim: np.arange(heads * dim, dtype=np.int64), raising=True
    )
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelError, match=r"text logits are .* off those of the checkpoint"):
        export(checkpoint, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"kv_repeat": 2, "positional_embedding": "rope_concat", "depformer_kv_repeat": 1},
        {"norm": "layer_norm", "depformer_norm": "rms_norm", "bias_proj": True, "layer_scale": 0.1},
        {"gating": "none", "depformer_gating": "gelu"},
        {"demux_second_stream": True, "depformer_low_rank_embeddings": 4, "depformer_multi_linear": False},
        {"norm_emb": True, "depformer_weights_per_step_schedule": [0, 0], "norm": "layer_norm_f32"},
        {"dep_q": 0, "extra_heads_num_heads": 2},
    ],
)
def test_every_variant_is_the_model_its_config_describes(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    """A float32 export compares itself with plain numpy, head by head, and is refused above 0.1 %."""
    make(checkpoint, change)
    gaps = export(checkpoint, tmp_path / "out")["golden"]["float_gap"]
    assert max(gap["relative"] for gap in gaps.values()) < 1e-4
    assert gaps["text"]["agree"] == 4


def test_weights_behind_the_flatbuffer_are_the_same_model(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files too large for a flatbuffer keep their buffers behind it; the runtime must find them there."""
    export(checkpoint, tmp_path / "inside", ("int4", "int8"))
    monkeypatch.setattr(tflite_writer, "_INLINE_LIMIT", 0)
    export(checkpoint, tmp_path / "behind", ("int4", "int8"))
    assert np.array_equal(text_logits(tmp_path / "inside"), text_logits(tmp_path / "behind"))
    files = [(tmp_path / name / "model.tflite").read_bytes() for name in ("inside", "behind")]
    assert files[0] != files[1]


def test_a_codec_config_named_by_the_checkpoint_is_used(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "config.json").write_text(
        json.dumps({**CONFIG, "mimi_config_name": "hf://someone/codec/mimi.json"})
    )
    assert export_lm.main([str(checkpoint), "-o", str(tmp_path / "talk")]) == 0
    assert load_manifest(tmp_path / "talk-codec", "codec").raw["codec"]["frame_samples"] == 64
