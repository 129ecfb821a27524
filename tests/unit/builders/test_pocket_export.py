"""scripts/export_lm.py with a pocket-tts checkpoint: the package, and one sentence for what cannot be exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import export_lm
from builders.export.kyutai.weights import Tensors
from builders.export.pocket.tokenizer import sentencepiece_file
from noctule.inference.manifest import load_manifest
from pocket_checkpoints import FOLDER, copy_of


def run(source: Path, target: Path, *more: str) -> int:
    return export_lm.main([str(source), "-o", str(target), "--quant", "float32", "--context", "64", *more])


def test_the_command_writes_one_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice = str(FOLDER / "lsd" / "voice.safetensors")
    assert run(FOLDER / "lsd", tmp_path / "out", "--state", voice, "--decode-steps", "3", "--licence", "MIT") == 0
    manifest = load_manifest(tmp_path / "out", "pocket-tts")
    assert manifest.name == "random"
    assert manifest.licence == "MIT"
    pocket = manifest.raw["pocket"]
    assert pocket["flow"] == "lsd"
    assert pocket["steps"] == 3
    assert pocket["voices"] == {"voice": "voice-voice.safetensors"}
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    assert "lsd head, 1 voices, 600 Hz" in capsys.readouterr().out
    assert manifest.graph is not None
    assert "encode" in manifest.graph.signatures


def test_a_checkpoint_without_an_encoder_becomes_a_package_that_cannot_clone(tmp_path: Path) -> None:
    source = copy_of("pointwise", tmp_path / "source", lambda folder: _edit(folder, _without_encoder))
    assert run(source, tmp_path / "out") == 0
    graph = load_manifest(tmp_path / "out", "pocket-tts").graph
    assert graph is not None
    assert "encode" not in graph.signatures
    assert "decode" in graph.signatures


def _edit(folder: Path, change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = change(json.loads(data[8 : 8 + length]), data[8 + length :])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def _without_encoder(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    return {k: v for k, v in header.items() if not k.startswith(("mimi.encoder", "mimi.downsample"))}, body


def _not_a_number(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    start, _ = header["flow_lm.out_norm.weight"]["data_offsets"]
    return header, body[:start] + b"\xc0\x7f" + body[start + 2 :]


def _missing(header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    del header["flow_lm.out_norm.weight"]
    return header, body


def _yaml(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "random.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _header_only(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x01\x02")


REFUSALS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "weights cut short": (_cut, "is truncated"),
    "weights of two bytes": (_header_only, "is truncated or not a safetensors file"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no such file"),
    "no tokenizer": (lambda f: (f / "tokenizer.model").unlink(), "there is no tokenizer"),
    "a tokenizer that is none": (
        lambda f: (f / "tokenizer.model").write_bytes(b"hello"),
        "is not a SentencePiece model",
    ),
    "a tokenizer of another model": (
        lambda f: (f / "tokenizer.model").write_bytes(sentencepiece_file([("<unk>", 0.0), ("a", -1.0)])),
        "has 2 pieces, and the configuration says 120",
    ),
    "a missing tensor": (lambda f: _edit(f, _missing), "lacks flow_lm.out_norm.weight"),
    "not a number": (lambda f: _edit(f, _not_a_number), "holds values that are not numbers"),
    "a config of another model": (_yaml("num_layers: 2", "num_layers: 3"), "lacks flow_lm.transformer.layers.2"),
    "a wider config": (_yaml("dim: 16\n    type", "dim: 32\n    type"), "has shape"),
    "another head": (_yaml("type: lsd", "type: guess"), "flow.type is 'guess'"),
    "a config that is no model's": (lambda f: (f / "random.yaml").write_text("a: 1\n"), "it has no flow_lm and mimi"),
    "a config that is no YAML": (lambda f: (f / "random.yaml").write_text("a: [1\n"), "cannot be read"),
    "a config without rates": (_yaml("frame_rate: 12.5", "frame: 12.5"), "frame_rate is missing"),
    "a config of words": (_yaml("frame_rate: 12.5", "frame_rate: fast"), "cannot be read as a pocket-tts"),
    "heads that do not divide": (_yaml("num_heads: 4", "num_heads: 5"), "5 heads do not divide"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_exported_is_told_in_one_sentence_and_leaves_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = REFUSALS[case]
    source = copy_of("lsd", tmp_path / "source", lambda folder: change(folder) and None)
    assert run(source, tmp_path / "out") != 0
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


def test_options_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, words in (
        (["--quant", "int4"], "--quant int4 is not for pocket-tts"),
        (["--decode-steps", "-1"], "--decode-steps must be at least 1"),
        (["--context", "16"], "a context of 16 is too small"),
        (["--state", str(FOLDER / "drifting" / "voice.safetensors")], "is a voice of another model"),
        (["--state", str(tmp_path / "none.safetensors")], "cannot be read"),
    ):
        assert run(FOLDER / "lsd", tmp_path / "out", *more) != 0
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_stored_type_of_the_fixture_is_bfloat16() -> None:
    assert Tensors(FOLDER / "lsd" / "model.safetensors").take("flow_lm.bos_emb").shape == (6,)
