"""Opening a text package: everything that does not fit together is refused with the reason."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.packages import GOLDEN, golden, graph, manifest, package
from fixtures.tokenizers import info_of, trained
from noctule.core.errors import ModelError
from noctule.inference import weight_cache as cache_file
from noctule.inference.manifest import load_manifest
from noctule.inference.package_writer import write_manifest
from noctule.inference.runtime import LiteRt, Signature, TensorSpec, TfliteRuntime
from noctule.lm.text import graph as text_graph
from noctule.lm.text import graph_noctule
from noctule.lm.text.graph_noctule import NoctuleGraph
from noctule.lm.text.package import check_golden, open_graph, open_text_package


def rewritten(folder: Path, **changes: Any) -> Path:
    """Change the manifest of a good package without rebuilding it."""
    raw = json.loads((folder / "manifest.json").read_text())
    raw.pop("files")
    write_manifest(folder, raw | changes)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return package(tmp_path / "p")


def test_a_good_package_opens_on_both_faces_of_the_runtime(folder: Path) -> None:
    for runtime in (LiteRt(), TfliteRuntime("ai_edge_litert.interpreter", "ai-edge-litert")):
        opened = open_text_package(folder, runtime=runtime)
        assert opened.graph.width == 400
        assert opened.tokenizer.vocab_size <= 400
        opened.close()


def test_graph_and_manifest_must_agree(folder: Path) -> None:
    shutil.copy(graph("noctule_int8"), folder / "model.tflite")
    with pytest.raises(ModelError, match=r"model\.tflite: has \d+ bytes"):
        open_text_package(folder)
    shutil.copy(graph("community"), folder / "model.tflite")
    rewritten(folder)
    with pytest.raises(ModelError, match="signature 'decode_16' is in the manifest but not in the graph"):
        open_text_package(folder)


def test_a_vocabulary_larger_than_the_logits_is_refused(folder: Path) -> None:
    data = trained(vocab_size=430)
    (folder / "tokenizer.model").write_bytes(data)
    info = dataclasses.asdict(info_of(data))
    rewritten(folder, tokenizer=info | {"eos": [2]})
    assert info["vocab_size"] > 400
    with pytest.raises(ModelError, match=r"gives 400 logits, the tokenizer has \d+ pieces"):
        open_text_package(folder)


def test_the_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(trained(vocab_size=380))
    with pytest.raises(ModelError, match=r"tokenizer\.model: has \d+ bytes, the manifest says"):
        open_text_package(folder)
    rewritten(folder)
    with pytest.raises(ModelError, match="pieces, the manifest says"):
        open_text_package(folder)


def test_wrong_kind_and_garbage(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"garbage" * 100)
    rewritten(folder)
    with pytest.raises(ModelError, match="is not a TFLite model"):
        open_text_package(folder)
    rewritten(folder, kind="wake-word")
    with pytest.raises(ModelError, match="kind: expected 'text-lm', found 'wake-word'"):
        open_text_package(folder)


# ---- golden logits --------------------------------------------------------------------------------------------


def test_other_weights_are_noticed(folder: Path) -> None:
    wrong = golden()
    wrong["logits"] = [[x + 1.0 for x in row] for row in wrong["logits"]]
    with pytest.raises(ModelError, match=r"answers other logits than it should .*\(decode, golden step 0: off by 1,"):
        open_text_package(rewritten(folder, golden=wrong))
    wrong = golden()
    wrong["top"][3] = [7, 8, 9, 10, 11]
    with pytest.raises(ModelError, match=r"golden step 3"):
        open_text_package(rewritten(folder, golden=wrong))


def test_golden_tokens_that_do_not_fit(folder: Path) -> None:
    for change in ({"tokens": [10**6] * 8}, {"tokens": [1] * 49, "top": [[1]] * 49, "logits": [[0.1]] * 49}):
        with pytest.raises(ModelError, match="golden tokens do not fit"):
            open_text_package(rewritten(folder, golden=golden() | change))
    with pytest.raises(ModelError, match="fewer than the golden ones name"):
        open_text_package(rewritten(folder, golden=golden() | {"top": [[400]] * 8}))


class _Zeros:
    """A runtime that answers zeros, as tflite-runtime 2.14 does for per-channel int8; or from some step on."""

    context = 48

    def __init__(self, real: NoctuleGraph, zero_after_prefill: bool) -> None:
        self._real, self._later, self._prefilled = real, zero_after_prefill, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def prefill(self, *arguments: Any) -> int:
        self._prefilled = True
        return self._real.prefill(*arguments)

    def decode(self, token: int, position: int) -> Any:
        logits = self._real.decode(token, position)
        return logits * 0.0 if self._prefilled or not self._later else logits


@pytest.mark.parametrize("zero_after_prefill", [False, True])
def test_silent_zeros_are_caught(folder: Path, zero_after_prefill: bool) -> None:
    found = load_manifest(folder, "text-lm").golden
    assert found is not None
    with LiteRt().load_model(folder / "model.tflite") as model:
        real = NoctuleGraph(model, 48)
        check_golden("m", found, real, 390)
        with pytest.raises(ModelError, match="m: every logit is zero: this runtime cannot compute the model"):
            check_golden("m", found, _Zeros(real, zero_after_prefill), 390)  # type: ignore[arg-type]


def test_a_broken_prefill_alone_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefill that writes nothing leaves decode right: only the second pass can tell."""
    monkeypatch.setattr(graph_noctule.NoctuleGraph, "prefill", lambda *_: len(GOLDEN["tokens"]) - 1)
    with pytest.raises(ModelError, match=r"\(prefill, golden step 7"):
        open_text_package(folder)


# ---- weight cache ---------------------------------------------------------------------------------------------


def test_a_damaged_weight_cache_is_noticed_and_made_anew(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", "noctule_int8")
    caches = tmp_path / "caches"
    caches.mkdir()
    open_text_package(folder, cache_dir=caches).close()
    (cache,) = caches.glob("*.xnnpack")
    sound = cache.read_bytes()
    spoilt = bytearray(sound)
    for i in range(len(spoilt) // 4, len(spoilt) * 3 // 4, 3):
        spoilt[i] ^= 0x55
    cache.write_bytes(bytes(spoilt))
    open_text_package(folder, cache_dir=caches).close()
    assert cache.read_bytes() != bytes(spoilt)
    wrong = golden("int8", 0.05)
    wrong["logits"] = [[x + 9.0 for x in row] for row in wrong["logits"]]
    with pytest.raises(ModelError, match="answers other logits"):
        open_text_package(rewritten(folder, golden=wrong), cache_dir=caches)


def test_a_cache_is_built_only_where_it_has_room_and_trusted_only_when_it_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, caches = package(tmp_path / "p", "noctule_int8"), tmp_path / "caches"
    caches.mkdir()
    free = {"bytes": 1 << 20}
    usage = shutil.disk_usage(tmp_path)._replace
    monkeypatch.setattr(cache_file.shutil, "disk_usage", lambda path: usage(free=free["bytes"]))
    with contextlib.closing(open_text_package(folder, cache_dir=caches)) as opened:
        assert opened.cache is None, "building it there would end the process"
    assert not list(caches.iterdir())
    free["bytes"] = 1 << 30
    with contextlib.closing(open_text_package(folder, cache_dir=caches)) as opened:
        assert opened.cache is not None
    (cache,) = caches.glob("*.xnnpack")
    free["bytes"] = 0
    with contextlib.closing(open_text_package(folder, cache_dir=caches)) as opened:
        assert opened.cache == cache, "a whole one needs no room"
    with cache.open("ab") as file:
        file.truncate(cache.stat().st_size // 2)
    with contextlib.closing(open_text_package(folder, cache_dir=caches)) as opened:
        assert opened.cache is None, "a cut one would be built anew, for which there is no room"
    assert not cache.exists()


def test_caches_are_named_after_model_runtime_and_processor_and_old_ones_go(tmp_path: Path) -> None:
    runtime = LiteRt()
    assert cache_file.weight_cache(None, "m", "a" * 64, runtime) is None
    one = cache_file.weight_cache(tmp_path, "my/model", "a" * 64, runtime)
    two = cache_file.weight_cache(tmp_path, "my/model", "b" * 64, runtime)
    other = cache_file.weight_cache(tmp_path, "my/model-2", "a" * 64, runtime)
    assert one is not None
    assert two is not None
    assert other is not None
    assert one.name.startswith("my_model-aaaaaaaaaaaaaaaa-2.")
    assert len({one, two, other}) == 3
    for path in (one, two, other):
        path.write_bytes(b"x")
    assert cache_file.forget_others(two, "my/model") == [one]
    assert sorted(tmp_path.iterdir()) == sorted([two, other])
    with pytest.raises(ModelError, match="folder for weight caches does not exist"):
        cache_file.weight_cache(tmp_path / "none", "m", "a" * 64, runtime)


def test_another_processor_gets_another_cache(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    names = {cache_file.processor(tmp_path / "none")}
    for text in ("Features : fp asimd\n", "Features : fp asimd asimddp\n", "flags\t: sse\n"):
        info.write_text(text + "BogoMIPS : 1\n")
        names.add(cache_file.processor(info))
        info.write_text(text * 4 + "BogoMIPS : 2\n")
        names.add(cache_file.processor(info))
    assert len(names) == 4


# ---- graphs that are no text model ----------------------------------------------------------------------------

INT, FLOAT = np.dtype(np.int32), np.dtype(np.float32)


class FakeModel:
    """Signatures without a graph."""

    path = Path("m.tflite")

    def __init__(self, signatures: dict[str, Signature]) -> None:
        self.signatures = signatures

    def signature(self, name: str) -> Signature:
        if name not in self.signatures:
            raise ModelError(f"{self.path}: has no signature {name!r}")
        return self.signatures[name]


def signature(length: int = 1, slots: int = 8, width: int = 9, **changes: Any) -> Signature:
    cache = TensorSpec((1, 1, slots, 4), FLOAT)
    inputs = {
        "tokens": TensorSpec((length, 1), INT),
        "input_pos": TensorSpec((1,), INT),
        "kv_cache_k_0": cache,
    } | changes
    inputs = {k: v for k, v in inputs.items() if v is not None}
    return Signature(inputs, {"logits": TensorSpec((1, width), FLOAT), "kv_cache_k_0": cache})


@pytest.mark.parametrize(
    ("signatures", "message"),
    [
        ({}, "has no decode_. signature, so it is no text model"),
        ({"decode_8": signature(kv_cache_k_0=None)}, "has no kv_cache_. inputs"),
        ({"decode_8": signature(pixels=TensorSpec((1,), FLOAT))}, "needs the input 'pixels'"),
        (
            {"decode_8": signature(tokens=TensorSpec((1, 1), FLOAT))},
            r"tokens is float32\[1, 1\], a text model has int32",
        ),
        ({"decode_8": signature(input_pos=TensorSpec((2,), INT))}, r"input_pos is int32\[2\]"),
        ({"decode_8": signature(tokens=None)}, "tokens is missing"),
        ({"decode_16": signature(slots=8)}, "it should have 16 slots"),
        ({"decode_8": signature(), "prefill_4_8": signature(length=2)}, r"'prefill_4_8': tokens is int32\[2, 1\]"),
        ({"decode_8": signature(), "decode_9": signature(slots=9, width=7)}, r"different widths: \[7, 9\]"),
        ({"decode_8": Signature(signature().inputs, {})}, "logits is missing"),
        ({"decode_4": signature(slots=4)}, "cannot hold a context of 8, its largest bucket is 4"),
    ],
)
def test_noctule_graphs_are_checked(signatures: dict[str, Signature], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_graph(FakeModel(signatures), "noctule", 8)  # type: ignore[arg-type]


def community(length: int = 1, slots: int = 8, mask: TensorSpec | None = None, **changes: Any) -> Signature:
    base = signature(
        length, slots, tokens=TensorSpec((1, length), INT), input_pos=TensorSpec((length,), INT), **changes
    )
    inputs = base.inputs | ({"mask": mask} if mask is not None else {})
    return Signature(inputs, base.outputs | {"logits": TensorSpec((1, 1, 9), FLOAT)})


@pytest.mark.parametrize(
    ("signatures", "message"),
    [
        ({}, "has no signature 'decode'"),
        ({"decode": community(slots=6)}, "do not have the 8 slots that limits.context promises"),
        ({"decode": community(mask=TensorSpec((1, 1, 1, 4), FLOAT))}, "do not have the 8 slots"),
        ({"decode": community(mask=TensorSpec((1, 1, 2, 8), FLOAT))}, r"mask is float32\[1, 1, 2, 8\]"),
        ({"decode": community(mask=TensorSpec((1, 1, 1, 8), np.dtype(np.int8)))}, r"mask is int8"),
        ({"decode": community(lora=TensorSpec((1,), FLOAT))}, "needs the input 'lora'"),
        ({"decode": signature(tokens=TensorSpec((1, 1), INT))}, r"logits is float32\[1, 9\]"),
    ],
)
def test_community_graphs_are_checked(signatures: dict[str, Signature], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_graph(FakeModel(signatures), "litert-community", 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "count", "room", "size"),
    [
        ([8, 32], 40, 100, 32),  # whole chunks first, the largest
        ([8, 32], 31, 100, 8),
        ([8, 32], 7, 100, 8),  # a padded chunk beats 7 steps
        ([8, 32], 2, 100, 8),
        ([8, 32], 1, 100, 0),  # one step beats a padded chunk
        ([8, 32], 7, 7, 0),  # no room for the padding
        ([8, 32], 40, 20, 8),
        ([32], 8, 100, 32),
        ([32], 7, 100, 0),
        ([], 5, 100, 0),
    ],
)
def test_prefill_lengths_are_chosen_by_cost(sizes: list[int], count: int, room: int, size: int) -> None:
    assert text_graph.pick(sizes, count, room) == size


def test_reserving_more_than_there_is_is_a_bug(folder: Path) -> None:
    for name, layout in (("noctule_float32", "noctule"), ("community", "litert-community")):
        with LiteRt().load_model(graph(name)) as model:
            opened = open_graph(model, layout, 48)
            with pytest.raises(ValueError, match="reserve"):
                opened.reserve(49, 0)


def test_fixture_manifests_are_whole() -> None:
    assert manifest("community_mask")["graph"]["layout"] == "litert-community"
