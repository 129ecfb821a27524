"""Exporting Kyutai checkpoints: good ones in every stored form, and bad ones refused in one sentence, nothing left.

The checkpoints are written here with numpy, so the exporter is tested without torch.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece

import export_lm
from exporting import kyutai, mimi
from exporting.kyutai_checkpoint import expected
from exporting.kyutai_config import gated_hidden, read_config
from exporting.kyutai_layers import Precision
from exporting.kyutai_weights import Tensors, quantise_blocks, quantise_rows
from exporting.mimi_config import expected as mimi_expected
from exporting.mimi_config import read_config as read_mimi
from noctule.errors import InputError
from noctule.manifest import load_manifest
from noctule.tflite import load_model

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kyutai-tiny"
Array = npt.NDArray[Any]
Config = dict[str, Any]

CONFIG: Config = {
    "dim": 16,
    "text_card": 64,
    "existing_text_padding_id": 3,
    "n_q": 4,
    "dep_q": 2,
    "card": 12,
    "num_heads": 2,
    "num_layers": 1,
    "hidden_scale": 4,
    "causal": True,
    "layer_scale": None,
    "context": 8,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 8,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_multi_linear": True,
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 0, 1],
}
MIMI: Config = {
    "sample_rate": 800,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": {
        "channels": 1,
        "dimension": 8,
        "causal": True,
        "n_filters": 2,
        "n_residual_layers": 1,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "disable_norm_outer_blocks": 0,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [8, 4],
        "true_skip": True,
    },
    "quantizer": {"dimension": 4, "n_q": 3, "bins": 12, "input_dimension": 8, "output_dimension": 8},
    "transformer": {
        "d_model": 8,
        "num_heads": 2,
        "num_layers": 1,
        "causal": True,
        "layer_scale": 0.01,
        "context": 8,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 16,
        "input_dimension": 8,
        "output_dimensions": [8],
    },
}


def save(path: Path, tensors: dict[str, Array], names: dict[str, str] | None = None) -> None:
    """Write a safetensors file; uint16 arrays are stored as bfloat16."""
    header, data, offset = {}, [], 0
    stored = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int8": "I8", "int64": "I64"}
    for name, array in tensors.items():
        header[name] = {
            "dtype": (names or {}).get(name, stored[str(array.dtype)]),
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        data.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def bfloat16(values: Array) -> Array:
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def weights(config_path: Path, seed: int = 0) -> dict[str, Array]:
    linear, other = expected(read_config(config_path))
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * 0.3 + ("alpha" in name)).astype(np.float32)
        for name, shape in {**linear, **other}.items()
    }


def make(folder: Path, change: Config | None = None) -> dict[str, Array]:
    """A whole checkpoint: config, weights, tokenizer, Mimi. Returns the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **(change or {})}))
    tensors = weights(folder / "config.json")
    save(folder / "model.safetensors", tensors)
    shutil.copy(FIXTURES / "lm" / "tokenizer.model", folder / "tokenizer_spm_32k_3.model")
    (folder / "mimi.json").write_text(json.dumps(MIMI))
    rng = np.random.default_rng(1)
    shapes = mimi_expected(read_mimi(folder / "mimi.json"))
    save(
        folder / "tokenizer-e351c8d8-checkpoint125.safetensors",
        {
            name: (rng.standard_normal(shape) * 0.5 + (1.5 if "usage" in name else 0)).astype(np.float32)
            for name, shape in shapes.items()
        },
    )
    return tensors


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def quiet(_: str) -> None:
    """No progress."""


def export(folder: Path, output: Path, precision: tuple[str, str] = ("float32", "float32")) -> dict[str, Any]:
    return kyutai.export_lm(folder, output, kyutai.Options(precision=Precision(*precision)), quiet)


def text_logits(package: Path, frames: int = 6) -> Array:
    """Text logits of seeded frames and the audio logits that follow them."""
    manifest = load_manifest(package, "speech-lm")
    streams = manifest.raw["streams"]
    rng, offsets = np.random.default_rng(0), streams["offsets"]
    name = f"temporal_{streams['buckets'][-1]}"
    found = []
    with load_model(package / "model.tflite") as model:
        runner = model.runner(name, alias={n: n for n in model.signatures[name].inputs if n.startswith("kv_cache")})
        depth = model.runner("dep_0")
        for frame in range(frames):
            rows = [rng.integers(low, high) for low, high in pairwise(offsets)]
            runner.write("tokens", np.array([rows], np.int32))
            runner.write("input_pos", np.array([frame], np.int32))
            runner.run()
            depth.write("hidden", runner.read("hidden"))
            depth.write("token", np.array([[frame]], np.int32))
            depth.run()
            found.append(np.concatenate([runner.read("logits")[0], depth.read("logits")[0]]))
    return np.array(found)


def close(a: Array, b: Array, rtol: float) -> bool:
    return float(np.abs(a - b).max() / np.abs(b).max()) < rtol


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
        ({"dim": "16"}, "dim must be a whole number"),
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
    assert "no JSON object" in refused(checkpoint, tmp_path / "out")
    path.write_text("{")
    assert "not JSON" in refused(checkpoint, tmp_path / "out")
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
