"""Checkpoints that cannot be exported: one sentence that names what is wrong, and nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("litert_torch", reason="needs scripts/requirements-host.txt", exc_type=ImportError)

import torch
from safetensors.torch import load_file, save_file

import export_lm
from builders.common import package_checks as package_writer
from builders.export.text.package import Request, export_text
from builders.export.text.synthetic_tokenizer import write_tokenizer
from noctule.core.errors import InputError, ModelError
from tools.fixtures import parity as parity

pytestmark = [pytest.mark.host, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "checkpoint"
    parity.make_checkpoint("llama", folder)
    return folder


@pytest.fixture
def checkpoint(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkpoint"))


def refused(checkpoint: Path, **settings: Any) -> str:
    """The sentence with which this checkpoint is refused; the folder it would have written to stays empty."""
    out = checkpoint.parent / "out"
    out.mkdir(exist_ok=True)
    request = Request(checkpoint, out / "package", **{"contexts": (32,), "prefills": (8,), **settings})
    with pytest.raises(InputError) as caught:
        export_text(request, lambda _: None)
    assert list(out.iterdir()) == []
    sentence = caught.value.explain()
    assert "\n" not in sentence
    return sentence


def set_key(key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config[key] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def set_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        changed = change(tensors.pop(name) if name in tensors else torch.zeros(4))
        if changed is not None:
            tensors[name] = changed.contiguous()
        save_file(tensors, folder / WEIGHTS)

    return apply


def cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor[0] = float("nan")
    return tensor


Q = "model.layers.1.self_attn.q_proj.weight"
CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "unknown architecture": (set_key("model_type", "mamba"), "architecture 'mamba' is not supported"),
    "no architecture": (set_key("model_type", None), "architecture None is not supported"),
    "rope scaling": (
        set_key("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}),
        "rope scaling 'yarn' is not supported",
    ),
    "activation": (set_key("hidden_act", "relu2"), "activation 'relu2' is not supported"),
    "quantised": (set_key("quantization_config", {"bits": 4}), "quantization_config"),
    "text for a number": (set_key("hidden_size", "many"), "hidden_size is 'many', expected a positive whole number"),
    "a key is missing": (set_key("num_hidden_layers", None), "num_hidden_layers is missing"),
    "heads that do not divide": (set_key("num_key_value_heads", 3), "4 heads do not divide into 3"),
    "flag that is none": (set_key("attention_bias", "no"), "attention_bias is 'no', expected true or false"),
    "eos outside": (set_key("eos_token_id", 9999), "eos_token_id 9999 is outside the tokenizer's 280 pieces"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]") and None, "expected an object"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{") and None, "is not valid JSON"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: no such file"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "model.safetensors: no such file"),
    "cut short": (cut, "is not a whole safetensors file"),
    "empty weights": (lambda f: (f / WEIGHTS).write_bytes(b"") and None, "is not a whole safetensors file"),
    "a tensor is missing": (set_tensor(Q, lambda t: None), f"tensor {Q} is missing"),
    "a tensor too many": (
        set_tensor("model.vision.weight", lambda t: t),
        "tensor model.vision.weight does not belong",
    ),
    "wrong shape": (set_tensor(Q, lambda t: t[:-1]), f"tensor {Q} is [31, 32], config.json makes it [32, 32]"),
    "integers": (set_tensor(Q, lambda t: t.to(torch.int8)), f"tensor {Q} is torch.int8, expected floating point"),
    "not finite": (set_tensor(Q, with_nan), f"tensor {Q} holds values that are not finite"),
    "untied head": (set_tensor("lm_head.weight", lambda t: torch.ones(288, 32)), "ties the head to the embedding"),
    "no tokenizer": (lambda f: (f / "tokenizer.model").unlink(), "tokenizer.model: no such file"),
    "tokenizer is garbage": (
        lambda f: (f / "tokenizer.model").write_bytes(b"garbage") and None,
        "is not a SentencePiece model",
    ),
    "tokenizer of a larger model": (
        lambda f: write_tokenizer(f / "tokenizer.model", 300),
        "has 300 pieces but the model has 288 embedding rows",
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_refused_with_one_sentence(case: str, checkpoint: Path) -> None:
    spoil, sentence = CASES[case]
    spoil(checkpoint)
    assert sentence in refused(checkpoint)


def test_a_byte_level_tokenizer_is_refused_by_name(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.model").rename(checkpoint / "tokenizer.json")
    assert "only SentencePiece tokenizers are supported" in refused(checkpoint)


def test_an_index_that_names_an_absent_file(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {Q: "part-2.safetensors"}}))
    assert "names part-2.safetensors, which the folder lacks" in refused(checkpoint)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quant": "int3"}, "quantisation 'int3' is not one of"),
        ({"cache": "int4"}, "cache 'int4' is not one of auto, float32, int8"),
        ({"contexts": (4,)}, "context sizes are [4]"),
        ({"contexts": (512,)}, "a context of 512 is beyond the model's 256 positions"),
        ({"prefills": (64,)}, "a prefill of 64 does not fit the smallest context of 32"),
    ],
)
def test_options_that_make_no_sense(settings: dict[str, Any], sentence: str, checkpoint: Path) -> None:
    assert sentence in refused(checkpoint, **settings)


def test_a_mistake_in_the_chat_template_is_found_before_the_trace(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"chat.template.user: expected an object with prefix and suffix"):
        export_text(
            Request(checkpoint, checkpoint.parent / "out", contexts=(32,), prefills=(8,), chat={"template": {}}),
            lambda _: None,
        )
    assert not (checkpoint.parent / "out").exists()


def test_a_full_disk_is_noticed_before_the_work(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(checkpoint)._replace(free=1000)
    monkeypatch.setattr(package_writer.shutil, "disk_usage", lambda _: usage)
    assert "GB free, the export needs" in refused(checkpoint)


def test_too_little_memory_is_noticed_before_the_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 300000 kB\nSwapFree: 0 kB\n")
    monkeypatch.setattr(package_writer, "_MEMINFO", tmp_path / "meminfo")
    assert "needs about 1.0 GB of memory, 0.3 GB are free" in refused(checkpoint)


def test_a_folder_that_is_no_package_is_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("keep me")
    with pytest.raises(InputError, match="is not a model package"):
        export_text(Request(checkpoint, mine), lambda _: None)
    assert (mine / "letter.txt").read_text() == "keep me"


def test_the_command_says_it_in_one_line(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_key("model_type", "mamba")(checkpoint)
    assert export_lm.main([str(checkpoint), "-o", str(checkpoint.parent / "package")]) == InputError.exit_code
    error = capsys.readouterr().err
    assert error.startswith("export_lm.py: ")
    assert error.count("\n") == 1
    assert "mamba" in error


def test_the_command_in_the_manifest_names_no_path_of_this_machine() -> None:
    options = export_lm.parse(["/some/where/model", "-o", "/else/where/package", "--quant", "int4"])
    line = export_lm.command_line(options)
    assert "where" not in line
    assert line.startswith("scripts/export_lm.py model -o package --quant int4")
