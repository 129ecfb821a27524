"""Packages: everything wrong with one is refused in one sentence, and a half one is never left behind."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noctule.core.errors import ModelError
from noctule.inference.manifest import check_signatures, describe_signatures, load_manifest, sha256_of
from noctule.inference.package_writer import PackageWriter, write_manifest
from noctule.inference.runner import Signature, TensorSpec

FILES = {"model.tflite": b"a graph", "tokenizer.model": b"a tokenizer"}


def document() -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "text-lm",
        "name": "tiny",
        "version": "1",
        "licence": "Apache-2.0",
        "source": "nothing",
        "build": "make",
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in FILES.items()
        },
        "graph": {
            "file": "model.tflite",
            "layout": "noctule",
            "signatures": {
                "decode_8": {
                    "inputs": {"tokens": {"shape": [1, 1], "dtype": "int32"}},
                    "outputs": {"logits": {"shape": [1, 9], "dtype": "float32"}},
                }
            },
        },
        "tokenizer": {
            "file": "tokenizer.model", "vocab_size": 9, "bos": 1, "eos": [2], "pad": None, "control": {"<s>": 1},
        },
        "limits": {"context": 8},
        "chat": {
            "template": {
                "begin": "<s>",
                "user": {"prefix": "[ 1, 2 ]", "suffix": ""},
                "assistant": {"prefix": "", "suffix": "\n"},
            },
            "stop": ["[ x,  y ]"],
        },
        "sampling": {"temperature": 0.5, "top_k": 3},
        "golden": {
            "tokens": [1, 2], "signature": "decode_8", "top": [[1, 2], [3, 4]], "logits": [[1.5], [2]], "rtol": 0.01,
        },
    }  # fmt: skip


def put(folder: Path, content: Any = None, files: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in (FILES if files is None else files).items():
        (folder / name).write_bytes(data)
    text = content if isinstance(content, str) else json.dumps(document() if content is None else content)
    (folder / "manifest.json").write_text(text)
    return folder


def test_a_good_package_is_read(tmp_path: Path) -> None:
    found = load_manifest(put(tmp_path / "p"), "text-lm")
    assert (found.name, found.kind, found.context, found.sampling) == (
        "tiny", "text-lm", 8, {"temperature": 0.5, "top_k": 3.0},
    )  # fmt: skip
    assert found.graph is not None
    assert found.graph.signatures["decode_8"].inputs["tokens"] == TensorSpec((1, 1), np.dtype(np.int32))
    assert found.tokenizer is not None
    assert (found.tokenizer.bos, found.tokenizer.eos, found.tokenizer.pad) == (1, (2,), None)
    assert found.chat is not None
    assert (found.chat.begin, found.chat.roles["user"].prefix, found.chat.stop) == ("<s>", "[ 1, 2 ]", ("[ x,  y ]",))
    assert found.golden is not None
    assert found.golden.top == ((1, 2), (3, 4))
    assert found.path("model.tflite") == tmp_path / "p" / "model.tflite"
    with pytest.raises(ModelError, match=r"'other' is not listed"):
        found.path("other")


def at(path: str, value: Any) -> dict[str, Any]:
    """The good document with one value replaced (or removed: ...)."""
    changed = copy.deepcopy(document())
    *parents, last = path.split("/")
    here = changed
    for key in parents:
        here = here[key]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", 2, "format: expected 1 .*found 2"),
        ("format", ..., "format: expected 1 .*found nothing"),
        ("kind", "chat-lm", "kind: expected 'text-lm' or .*found 'chat-lm'"),
        ("kind", "codec", "graph|codec: expected an object, which a codec package needs, found nothing"),
        ("name", 5, "name: expected a string, found 5"),
        ("build", ..., "build: expected a string, found nothing"),
        ("surprise", 1, "top level: unknown key 'surprise'"),
        ("files", {}, "files: expected at least one file"),
        ("files", [], r"files: expected an object, found \[\]"),
        ("files/model.tflite/bytes", "7", "files.model.tflite.bytes: expected a whole number from 1"),
        ("files/model.tflite/bytes", True, "bytes: expected a whole number"),
        ("files/model.tflite/bytes", 0, "bytes: expected a whole number from 1, found 0"),
        ("files/model.tflite/sha256", "XYZ", "sha256: expected 64 hexadecimal digits"),
        ("files/model.tflite/mode", 1, "unknown key 'mode'"),
        ("graph", ..., "graph: expected an object, which a text-lm package needs"),
        ("graph/file", "other.tflite", "graph.file: expected one of the names under files"),
        ("graph/layout", "mine", "graph.layout: expected 'noctule' or 'litert-community', found 'mine'"),
        ("graph/signatures", {}, "graph.signatures: expected at least one signature"),
        ("graph/signatures/decode_8/inputs/tokens/shape", [1, 0], r"shape\[1\]: expected a whole number from 1"),
        ("graph/signatures/decode_8/inputs/tokens/shape", "1", "shape: expected a list"),
        ("graph/signatures/decode_8/inputs/tokens/dtype", "float64", "dtype: expected 'float32' or"),
        ("tokenizer", ..., "tokenizer: expected an object, which a text-lm"),
        ("tokenizer/bos", 9, "tokenizer.bos: expected a whole number from 0 to 8, found 9"),
        ("tokenizer/eos", [2, 99], r"tokenizer.eos\[1\]: expected a whole number from 0 to 8, found 99"),
        ("tokenizer/eos", 2, "tokenizer.eos: expected a list, found 2"),
        ("tokenizer/control", {"<s>": -1}, "tokenizer.control.<s>: expected a whole number"),
        ("tokenizer/control", {"": 1}, "expected a name"),
        ("tokenizer/vocab_size", 1, "vocab_size: expected a whole number from 2"),
        ("limits/context", 1, "limits.context: expected a whole number from 2"),
        ("limits/tokens", 1, "limits: unknown key 'tokens'"),
        ("chat/template/user", ..., "chat.template.user: expected an object with prefix and suffix"),
        ("chat/template/robot", {}, "chat.template: unknown key 'robot'"),
        ("chat/stop", [""], r"chat.stop\[0\]: expected some text"),
        ("sampling/temperature", -1, "sampling.temperature: expected a number from 0 to 10, found -1"),
        ("sampling/temperature", "hot", "sampling.temperature: expected a number, found 'hot'"),
        ("sampling/heat", 1, "sampling: unknown key 'heat'"),
        ("golden", ..., "golden: expected an object, which a text-lm"),
        ("golden/top", [[1]], "golden: expected as many rows"),
        ("golden/logits", [[], [1]], "golden: expected as many rows"),
        ("golden/rtol", 2, "golden.rtol: expected a number from 0 to 1"),
    ],
)
def test_each_mistake_is_named_with_its_place(tmp_path: Path, path: str, value: Any, message: str) -> None:
    folder = put(tmp_path / "p", at(path, value))
    with pytest.raises(ModelError) as caught:
        load_manifest(folder, "text-lm" if value != "codec" else "codec")
    assert str(caught.value).startswith(f"{folder}/manifest.json: ")
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../model.tflite", "/etc/passwd", "a/b", ".hidden", "", "manifest.json", "a\0b", "a" * 200]
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    changed = document()
    changed["files"][name] = changed["files"]["model.tflite"]
    with pytest.raises(ModelError, match="is not a plain file name"):
        load_manifest(put(tmp_path / "p", changed), "text-lm")


def test_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="kind: expected 'wake-word', found 'text-lm'"):
        load_manifest(put(tmp_path / "p"), "wake-word")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty, the manifest says 7"),
        (b"a gra", "has 5 bytes, the manifest says 7"),
        (b"a grapH", "sha256 is .*, the manifest says"),
    ],
)
def test_empty_truncated_and_swapped_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    folder = put(tmp_path / "p")
    (folder / "model.tflite").write_bytes(data)
    with pytest.raises(ModelError, match=rf"model\.tflite: {message}"):
        load_manifest(folder, "text-lm")


def test_the_tokenizer_of_another_model_is_refused_by_its_hash(tmp_path: Path) -> None:
    folder = put(tmp_path / "p")
    (folder / "tokenizer.model").write_bytes(b"b tokenizer")
    with pytest.raises(ModelError, match=r"tokenizer\.model: sha256 is"):
        load_manifest(folder, "text-lm")


def test_missing_and_odd_files(tmp_path: Path) -> None:
    folder = put(tmp_path / "p")
    (folder / "model.tflite").unlink()
    with pytest.raises(ModelError, match="missing from the package"):
        load_manifest(folder, "text-lm")
    (folder / "model.tflite").mkdir()
    with pytest.raises(ModelError, match="expected a regular file"):
        load_manifest(folder, "text-lm")
    (folder / "model.tflite").rmdir()
    outside = tmp_path / "outside"
    outside.write_bytes(FILES["model.tflite"])
    (folder / "model.tflite").symlink_to(outside)
    with pytest.raises(ModelError, match="a link that leads out of the package"):
        load_manifest(folder, "text-lm")
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").symlink_to("model.tflite")
    with pytest.raises(ModelError, match=r"model\.tflite"):
        load_manifest(folder, "text-lm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a manifest of 1 to"),
        ("{", "is not JSON"),
        ("[]", "top level: expected an object"),
        ("null", "top level: expected an object, found nothing"),
        ('{"format": NaN}', "is not JSON: NaN is not allowed"),
        ("[" * 100_000, "is nested too deeply|is not JSON"),
    ],
)
def test_text_that_is_no_manifest(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_manifest(put(tmp_path / "p", text), "text-lm")


def test_folders_that_are_no_package(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model package"):
        load_manifest(tmp_path / "none", "text-lm")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="is not a folder"):
        load_manifest(tmp_path / "file", "text-lm")
    with pytest.raises(ModelError, match="missing, so the folder is no model package"):
        load_manifest(tmp_path, "text-lm")
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="is not UTF-8"):
        load_manifest(tmp_path, "text-lm")
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ModelError, match=r"cannot be read|expected a manifest"):
        load_manifest(tmp_path, "text-lm")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
places = st.sampled_from(
    ["format", "kind", "files", "files/model.tflite", "graph", "graph/signatures", "graph/signatures/decode_8/inputs",
     "tokenizer", "tokenizer/control", "limits", "chat", "chat/template", "chat/template/user", "chat/stop",
     "sampling", "golden", "golden/tokens", "golden/top", "golden/logits"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=places, value=json_values)
def test_any_value_anywhere_is_read_or_refused_in_one_sentence(tmp_path: Path, place: str, value: Any) -> None:
    folder = put(tmp_path / "p", at(place, value))
    try:
        load_manifest(folder, "text-lm")
    except ModelError as error:
        assert "\n" not in str(error)


def test_signatures_are_compared_with_the_real_graph(tmp_path: Path) -> None:
    found = load_manifest(put(tmp_path / "p"), "text-lm")
    tokens, logits = TensorSpec((1, 1), np.dtype(np.int32)), TensorSpec((1, 9), np.dtype(np.float32))
    real = {"decode_8": Signature({"tokens": tokens}, {"logits": logits}), "more": Signature({}, {})}
    check_signatures(found, real)
    assert describe_signatures({"decode_8": real["decode_8"]}) == document()["graph"]["signatures"]
    wrong = Signature({"tokens": tokens}, {"logits": TensorSpec((1, 8), np.dtype(np.float32))})
    with pytest.raises(
        ModelError,
        match=r"decode_8: output 'logits': the manifest says float32\[1, 9\], the graph has float32\[1, 8\]",
    ):
        check_signatures(found, {"decode_8": wrong})
    with pytest.raises(ModelError, match=r"input 'tokens': the manifest says .*, the graph has nothing"):
        check_signatures(found, {"decode_8": Signature({}, {"logits": logits})})
    with pytest.raises(ModelError, match=r"'decode_8' is in the manifest but not in the graph \(it has: none\)"):
        check_signatures(found, {})


# ---- writing --------------------------------------------------------------------------------------------------


def unlisted() -> dict[str, Any]:
    changed = document()
    del changed["files"]
    return changed


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "p"
    with PackageWriter(target) as package:
        for name, data in FILES.items():
            (package.folder / name).write_bytes(data)
        (package.folder / "CARD.md").write_text("a model card")
        written = package.finish(unlisted())
    assert written.folder == target
    found = load_manifest(target, "text-lm")
    assert found.raw == document()
    assert set(found.files) == set(FILES)
    assert (target / "CARD.md").exists()
    assert "[ 1, 1 ]" in (target / "manifest.json").read_text()
    assert [p.name for p in target.parent.iterdir()] == ["p"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_an_old_package_is_replaced_whole(tmp_path: Path) -> None:
    target = put(tmp_path / "p", files=FILES | {"stale": b"old"})
    with PackageWriter(target) as package:
        for name, data in FILES.items():
            (package.folder / name).write_bytes(data)
        package.finish(unlisted() | {"version": "2"})
    assert load_manifest(target, "text-lm").version == "2"
    assert not (target / "stale").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    "broken", [{"kind": "text"}, {"limits": {"context": 0}}, {"sampling": {"temperature": float("nan")}}]
)
def test_a_failed_write_leaves_the_old_package_and_nothing_else(tmp_path: Path, broken: dict[str, Any]) -> None:
    target = put(tmp_path / "p")
    before = sha256_of(target / "manifest.json")

    def write() -> None:
        with PackageWriter(target) as package:
            for name, data in FILES.items():
                (package.folder / name).write_bytes(data)
            package.finish(unlisted() | broken)

    with pytest.raises((ModelError, ValueError)):
        write()
    assert sha256_of(target / "manifest.json") == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_leaving_without_finish_leaves_nothing(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "p") as package:
        (package.folder / "model.tflite").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_rewriting_a_manifest_in_place_is_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "p")
    (folder / "extra.bin").write_bytes(b"1")
    assert set(write_manifest(folder, unlisted(), FILES).files) == set(FILES)
    assert set(write_manifest(folder, unlisted()).files) == {*FILES, "extra.bin"}
    before = (folder / "manifest.json").read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_manifest(folder, unlisted() | {"version": "3"})
    assert (folder / "manifest.json").read_text() == before
    assert not list(folder.glob(".manifest-*"))
