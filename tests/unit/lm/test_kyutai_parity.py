"""The tiny Kyutai package against what `moshi` answered: every logit of every head, 200 frames, the ring wrapping."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kyutai_runs import forced_logits, probabilities, relative
from noctule.inference.manifest import check_signatures, load_manifest
from noctule.inference.runtime import load_model

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny"
Array = npt.NDArray[Any]
RTOL = 1e-4


@pytest.fixture(scope="module")
def reference() -> dict[str, Array]:
    with np.load(FIXTURES / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def streams() -> dict[str, Any]:
    return dict(load_manifest(FIXTURES / "lm", "speech-lm").raw["streams"])


@pytest.fixture(scope="module")
def forced(reference: dict[str, Array], streams: dict[str, Any]) -> dict[str, Array]:
    return forced_logits(FIXTURES / "lm" / "model.tflite", streams, reference["codes"], reference["depth_tokens"])


def test_text_logits_equal_moshi(
    forced: dict[str, Array], reference: dict[str, Array], streams: dict[str, Any]
) -> None:
    assert len(reference["text_logits"]) == 200 > 8 * streams["buckets"][-1]  # the ring wraps eight times
    assert relative(forced["text"], reference["text_logits"]) < RTOL


def test_audio_logits_of_every_codebook_equal_moshi(forced: dict[str, Array], reference: dict[str, Array]) -> None:
    for q in range(reference["audio_logits"].shape[1]):
        assert relative(forced["audio"][:, q], reference["audio_logits"][:, q]) < RTOL, f"codebook {q}"


def test_audio_logits_vary_within_across_and_over_time(forced: dict[str, Array]) -> None:
    audio = forced["audio"]
    scale = float(np.abs(audio).max())
    assert float(audio.std(axis=2).min()) > 0.05 * scale, "a codebook's logits are constant"
    for q in range(1, audio.shape[1]):
        assert float(np.abs(audio[:, q] - audio[:, q - 1]).max(axis=1).min()) > 0.05 * scale, "two codebooks agree"
    assert float(np.abs(np.diff(audio, axis=0)).max(axis=2).min()) > 0.05 * scale, "logits do not follow the input"


def test_extra_heads_equal_moshi(forced: dict[str, Array], reference: dict[str, Array]) -> None:
    assert np.abs(probabilities(forced["extra"]) - reference["extra"]).max() < 1e-5


def test_a_small_bucket_agrees_until_it_is_full(
    reference: dict[str, Array], streams: dict[str, Any], forced: dict[str, Array]
) -> None:
    frames = streams["buckets"][0]
    codes, depth = reference["codes"][:, :frames], reference["depth_tokens"][:frames]
    found = forced_logits(FIXTURES / "lm" / "model.tflite", streams, codes, depth, capacity=frames)
    assert relative(found["text"], forced["text"][:frames]) < RTOL


def test_the_manifests_describe_their_graphs() -> None:
    for kind, folder in (("speech-lm", "lm"), ("codec", "codec")):
        manifest = load_manifest(FIXTURES / folder, kind)
        with load_model(FIXTURES / folder / "model.tflite") as model:
            check_signatures(manifest, model.signatures)


def test_golden_logits_are_reproduced(streams: dict[str, Any]) -> None:
    golden = streams["golden"]
    with load_model(FIXTURES / "lm" / "model.tflite") as model:
        inputs = model.signatures[golden["signature"]].inputs
        runner = model.runner(golden["signature"], alias={n: n for n in inputs if n.startswith("kv_cache")})
        for frame, rows in enumerate(golden["tokens"]):
            runner.write("tokens", np.array([rows], np.int32))
            runner.write("input_pos", np.array([frame], np.int32))
            runner.run()
            logits = runner.read("logits")[0]
            assert np.argsort(-logits)[:5].tolist() == golden["top"][frame]
            assert np.abs(logits[:8] - golden["logits"][frame]).max() < golden["rtol"] * golden["peak"][frame]


def test_codec_equals_moshi(reference: dict[str, Array]) -> None:
    pcm = reference["codec_pcm"].astype(np.float32) / 127
    frames = len(reference["codec_codes"])
    with load_model(FIXTURES / "codec" / "model.tflite") as model:
        runners = {
            name: model.runner(name, alias={n: n for n in signature.inputs if n.startswith("state_")})
            for name, signature in model.signatures.items()
        }
        for frame in range(frames):
            now = np.array([frame], np.int32)
            encode, decode = runners["encode"], runners["decode"]
            encode.write("pcm", pcm[frame * 1920 : (frame + 1) * 1920].reshape(1, 1, -1))
            encode.write("input_pos", now)
            encode.run()
            codes = encode.read("codes")
            assert codes[0].tolist() == reference["codec_codes"][frame].tolist(), f"frame {frame}"
            decode.write("codes", codes)
            decode.write("input_pos", now)
            decode.run()
            expected = reference["codec_samples"][frame * 1920 : (frame + 1) * 1920]
            assert np.abs(decode.read("pcm")[0, 0] - expected).max() < 1e-4, f"frame {frame}"


def test_a_package_with_another_kind_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "lm", tmp_path / "lm")
    from noctule.core.errors import ModelError

    with pytest.raises(ModelError, match="kind"):
        load_manifest(tmp_path / "lm", "codec")
