"""What a speech package is refused for: logits that mean nothing, a foreign tokenizer, a manifest that misfits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest, load_manifest
from noctule.inference.package_writer import write_manifest
from noctule.inference.runtime import Buffers, Model, load_model
from noctule.lm.speech.model import SpeechModel
from noctule.lm.tokenizer import Tokenizer

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny" / "lm"
Change = Callable[[str, str, np.ndarray], np.ndarray]


class Tampered(Model):
    """A real graph whose outputs are changed on the way out, as a broken runtime would."""

    def __init__(self, inner: Model, change: Change) -> None:
        super().__init__(inner.path, inner.runtime, inner.signatures)
        self._inner, self._change = inner, change

    def runner(self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None):
        runner = self._inner.runner(signature, alias=alias, share=share)
        read = runner.read
        runner.read = lambda name: self._change(signature, name, read(name))  # type: ignore[method-assign]
        return runner

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[Manifest, Model, Tokenizer]]:
    manifest = load_manifest(FIXTURE, "speech-lm")
    with load_model(FIXTURE / "model.tflite") as model:
        yield manifest, model, Tokenizer.load(manifest.path("tokenizer.model"), manifest.tokenizer)


def audio(q: int | None, value: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Change the logits of one codebook, or of all."""

    def change(signature: str, name: str, found: np.ndarray) -> np.ndarray:
        hit = name == "logits" and signature.startswith("dep_") and q in (None, int(signature[4:]))
        return value(found).astype(found.dtype) if hit else found

    return change


def text(value: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(signature: str, name: str, found: np.ndarray) -> np.ndarray:
        return value(found).astype(found.dtype) if name == "logits" and signature.startswith("temporal") else found

    return change


def with_nan(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[..., 3] = np.nan
    return y


SAME = np.sin(np.arange(24, dtype=np.float32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (audio(None, np.zeros_like), "the audio logits of codebook 0 are all zero"),
        (audio(2, np.zeros_like), "the audio logits of codebook 2 are all zero"),
        (audio(1, lambda x: np.full_like(x, 0.25)), "the audio logits of codebook 1 are all the same"),
        (audio(1, with_nan), "the audio logits of codebook 1 are not numbers"),
        (audio(0, lambda x: np.full_like(x, np.inf)), "the audio logits of codebook 0 are not numbers"),
        (audio(2, lambda x: x * 0.5), "the audio logits of codebook 2 are off by"),
        (audio(2, lambda x: x + np.eye(1, 24, 20, dtype=np.float32) * 99), "prefer token 20"),
        (text(np.zeros_like), "the text logits of golden frame 0 are all zero"),
        (text(with_nan), "the text logits of golden frame 0 are not numbers"),
        (text(lambda x: x[..., ::-1]), "the text logits of golden frame 0 are off by"),
    ],
)
def test_logits_that_mean_nothing_are_refused(parts, change, words):
    manifest, model, tokenizer = parts
    with pytest.raises(ModelError) as caught:
        SpeechModel(manifest, Tampered(model, change), tokenizer)
    assert words in str(caught.value)
    assert "noctule doctor" in caught.value.hint


def test_codebooks_that_answer_alike_are_refused(parts, tmp_path):
    """Even when the golden logits agree with them: then the package itself was made by a broken exporter."""
    _, model, tokenizer = parts
    golden_row = {"top": [int(SAME.argmax())], "logits": SAME[:8].tolist(), "peak": float(np.abs(SAME).max())}

    def change(m: dict[str, Any]) -> None:
        for entry in m["streams"]["golden"]["depth"]:
            entry.update(golden_row)

    manifest = load_manifest(package(tmp_path, change), "speech-lm")
    with pytest.raises(ModelError, match="codebook 1 equal those of codebook 0"):
        SpeechModel(manifest, Tampered(model, audio(None, lambda x: SAME.reshape(x.shape))), tokenizer)


def test_the_untouched_graph_passes_the_same_path(parts):
    manifest, model, tokenizer = parts
    assert SpeechModel(manifest, Tampered(model, lambda s, n, x: x), tokenizer).modes == ("duplex",)


def package(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the fixture whose manifest was changed and is consistent again."""
    folder = tmp_path / "lm"
    shutil.copytree(FIXTURE, folder)
    data = json.loads((folder / "manifest.json").read_text())
    change(data)
    data.pop("files")
    write_manifest(folder, data)
    return folder


def streams(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda m: m["streams"].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["streams"].pop("golden"), "no golden logits"),
        (lambda m: m["streams"]["golden"].pop("tokens"), "golden logits cannot be read"),
        (lambda m: m["streams"]["golden"].update(depth=[]), "0 golden codebooks for 3"),
        (lambda m: m["streams"].pop("n_q"), "streams.n_q: expected a whole number"),
        (streams(delays=[0, 0]), "delays for 2"),
        (streams(dep_q=9), "writes 9 codebooks but reads 6"),
        (streams(offsets=[0, 1]), "row offsets"),
        (streams(mode=["chess"]), "streams.mode"),
        (streams(mode=[]), "streams.mode"),
        (streams(depth={"zero": [1]}), "rows do not fit"),
        (streams(sampling={"text": {"heat": 3}}), "no setting 'heat'"),
        (streams(conditions={"inputs": [{}]}), "streams.conditions.inputs[0].name: expected a string, found nothing"),
        (streams(text_card=63), "the tokenizer has 64 pieces, but the model's text vocabulary has 63"),
        (lambda m: m["graph"]["signatures"]["dep_0"].update(inputs={}), "dep_0: input 'hidden'"),
    ],
)
def test_manifests_that_do_not_fit_are_one_sentence(tmp_path, change, words):
    with pytest.raises(ModelError) as caught:
        SpeechModel.load(package(tmp_path, change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_is_not_the_packages_is_refused(tmp_path):
    folder = package(tmp_path, lambda m: None)
    other = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(other[:-1] + bytes([other[-1] ^ 1]))
    with pytest.raises(ModelError, match="sha256"):
        SpeechModel.load(folder)


def test_a_tokenizer_of_another_size_is_refused(tmp_path):
    folder = package(tmp_path, lambda m: m["tokenizer"].update(vocab_size=65))
    with pytest.raises(ModelError, match="has 64 pieces, the manifest says 65"):
        SpeechModel.load(folder)


def test_other_kinds_and_missing_folders_are_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="expected 'speech-lm'"):
        SpeechModel.load(FIXTURE.parent / "codec")
    with pytest.raises(ModelError, match="no such model package"):
        SpeechModel.load(tmp_path / "nothing")


def test_a_graph_without_temporal_signatures_is_refused(parts):
    from noctule.lm.speech.graph import Temporal

    with (
        load_model(FIXTURE.parent / "codec" / "model.tflite") as codec,
        pytest.raises(ModelError, match="no temporal_"),
    ):
        Temporal(codec)
    with pytest.raises(ModelError, match="conditioned on other inputs"):
        Temporal(parts[1], {"condition_sum": np.zeros((1, 32), np.float32)})


def test_a_model_says_what_it_is_for(parts):
    manifest, model, tokenizer = parts
    speech = SpeechModel(manifest, model, tokenizer)
    speech.require("duplex")
    with pytest.raises(ModelError, match="made for duplex, not stt"):
        speech.require("stt")
