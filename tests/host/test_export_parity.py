"""Every supported architecture, from transformers' own save_pretrained through the exporter to the device runtime."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("litert_torch", reason="needs scripts/requirements-host.txt", exc_type=ImportError)

from builders.export.text.golden import Gap, gap, runtime_logits
from builders.export.text.graph import DecoderConfig
from builders.export.text.package import Request, cache_kind, export_text
from builders.export.text.quantise import quantise
from noctule.lm.sampler import TextSampling
from noctule.lm.text.model import TextLM
from noctule.lm.text.package import open_text_package
from noctule.lm.text.request import Options, collect
from tools.fixtures import parity as parity

pytestmark = [pytest.mark.host, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

FLOAT_PARITY = 1e-3  # largest difference over largest logit
#: RMS difference over the logits' spread; random weights make flat logits, so this is pessimistic
INT8_GAP = 0.25


class Ordinary:
    def __init__(self) -> None:
        self._allowed = np.arange(parity.FIRST_ORDINARY, parity.PIECES, dtype=np.int32)

    def mask(self) -> np.ndarray:
        return self._allowed

    def advance(self, token: int) -> None: ...

    def done(self) -> bool:
        return False


def silent(_: str) -> None:
    """Progress nobody reads."""


def export(name: str, folder: Path, **settings: Any) -> tuple[Path, Any]:
    model = parity.make_checkpoint(name, folder / "checkpoint")
    package = folder / name
    export_text(
        Request(
            folder / "checkpoint", package, **{"quant": "float32", "contexts": (96,), "prefills": (8,), **settings}
        ),
        silent,
    )
    return package, model


@pytest.mark.parametrize("name", list(parity.ARCHITECTURES))
def test_float32_package_is_the_reference_model(
    name: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    folder, model = export(name, tmp_path)
    prompt = parity.prompt_tokens(name)
    greedy, logits = parity.expected(model, prompt, parity.GREEDY)
    package = open_text_package(folder)
    lm = TextLM(package)
    sampling = TextSampling(temperature=0.0)
    options = Options(max_tokens=parity.GREEDY, sampling=sampling, constraint=Ordinary())
    _, finish, _ = collect(lm.generate(prompt, options))
    assert finish == "length"
    assert list(lm.held[len(prompt) :]) == greedy[:-1]
    # The same text again, forced, to compare the numbers behind it.
    tokens = [*prompt, *greedy]
    lm.forget()
    found = [package.graph.decode(token, i) for i, token in enumerate(tokens[:-1])][len(prompt) - 1 :]
    error = float(np.abs(np.stack(found) - logits).max() / np.abs(logits).max())
    record_property("relative error", error)
    assert error < FLOAT_PARITY
    cost = int8_gap(folder, tmp_path, tokens[:-1])
    record_property("int8 gap", cost.relative)
    print(f"{name}: float32 {error:.1e}, int8 {cost.relative:.3f} of the spread, same token {cost.top1:.0%}")
    assert cost.relative < INT8_GAP
    lm.close()


def int8_gap(package: Path, folder: Path, tokens: list[int]) -> Gap:
    quantise(package / "model.tflite", folder / "int8.tflite", "int8")
    reference = runtime_logits(package / "model.tflite", "decode_96", tokens)
    return gap(reference, runtime_logits(folder / "int8.tflite", "decode_96", tokens))


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_int8_keys_and_values_cost_little_beside_int8_weights(name: str, tmp_path: Path) -> None:
    folder, model = export(name, tmp_path, quant="int8", cache="auto")
    prompt = parity.prompt_tokens(name)
    greedy, logits = parity.expected(model, prompt, parity.GREEDY)
    with contextlib.closing(open_text_package(folder)) as package:
        assert package.model.signature("decode_96").inputs["kv_cache_k_0"].dtype == np.int8
        tokens = [*prompt, *greedy][:-1]
        found = [package.graph.decode(token, i) for i, token in enumerate(tokens)][len(prompt) - 1 :]
    cost = gap(logits, np.stack(found))
    print(f"{name}: int8 with int8 cache {cost.relative:.3f} of the spread, same token {cost.top1:.0%}")
    assert cost.relative < 0.1


def test_biased_keys_float_weights_and_the_other_runtime_keep_float_keys_and_values() -> None:
    def kind(quant: str, bias: bool = False, cache: str = "auto") -> str:
        c = DecoderConfig(8, 1, 1, 8, 8, 8, 8, (None,), (None,), qkv_bias=bias)
        return cache_kind(Request(Path("a"), Path("b"), quant=quant, cache=cache), c)

    assert [kind(quant) for quant in ("int8", "int4", "int4-head8")] == 3 * ["int8"]
    assert [kind("int8", bias=True), kind("float32"), kind("int8-tensor")] == 3 * ["float32"]
    assert kind("int8", bias=True, cache="int8") == "int8"
    assert kind("int8", cache="float32") == "float32"


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        package, _ = export("llama", tmp_path / run, quant="int8")
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(package.iterdir())})
    assert digests[0] == digests[1]


def test_int4_blocks_run_and_are_smaller(tmp_path: Path) -> None:
    package, _ = export("llama", tmp_path)
    sizes = {}
    tokens = parity.prompt_tokens("llama")
    reference = runtime_logits(package / "model.tflite", "decode_96", tokens)
    for scheme in ("int8", "int4", "int4-head8", "int8-tensor"):
        quantise(package / "model.tflite", tmp_path / f"{scheme}.tflite", scheme)
        sizes[scheme] = (tmp_path / f"{scheme}.tflite").stat().st_size
        cost = gap(reference, runtime_logits(tmp_path / f"{scheme}.tflite", "decode_96", tokens))
        assert cost.relative < {"int8": 0.1, "int8-tensor": 0.3}.get(scheme, 1.0)
    assert sizes["int4"] < sizes["int8"]
