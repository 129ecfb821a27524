"""Mimi at its real shape against moshi: codes equal, samples within 1e-4, past the wrap of the attention ring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.export.mimi import package as mimi
from noctule.lm.speech.codec import Codec

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from builders.export.mimi.reference import build_codec, codec_run, write_codec  # noqa: E402

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch warns of itself
]

CODEBOOKS = 8
FRAMES = 132  # the ring holds 250 steps, which is 125 frames


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The published shape with random weights, and moshi's streaming run of it."""
    model = build_codec(None, CODEBOOKS)
    weights = tmp_path_factory.mktemp("mimi") / "mimi-pytorch-e351c8d8@125.safetensors"
    write_codec(weights, model)
    return weights, codec_run(model, FRAMES)


def run(weights: Path, output: Path, samples: Any, codes: Any, **options: Any) -> tuple[Any, Any]:
    """Codes of `samples`, and the samples of `codes`, from an exported package."""
    mimi.export_codec(weights, None, output, mimi.Options(CODEBOOKS, **options), lambda _: None)
    codec = Codec.load(output)
    try:
        encoder, decoder = codec.encoder(), codec.decoder()
        found = np.array([encoder.step(frame) for frame in samples.reshape(FRAMES, -1)])
        made = np.concatenate([decoder.step(frame.astype(np.int32)) for frame in codes])
    finally:
        codec.close()
    return found, made


def test_codes_and_samples_equal_moshi(reference: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    weights, expected = reference
    codes, samples = run(weights, tmp_path / "codec", expected["pcm"], expected["codes"])
    np.testing.assert_array_equal(codes, expected["codes"])
    assert len(np.unique(codes)) > 500, "the codes are degenerate"
    assert np.abs(samples - expected["samples"]).max() < 1e-4 * np.abs(expected["samples"]).max()


def test_an_int8_decoder_stays_near(reference: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    weights, expected = reference
    options = {"decoder_linear": "int8", "decoder_conv": "int8"}
    _, samples = run(weights, tmp_path / "codec", expected["pcm"], expected["codes"], **options)
    error = samples - expected["samples"]
    ratio = 10 * np.log10((expected["samples"] ** 2).mean() / (error**2).mean())
    print(f"int8 decoder: {ratio:.1f} dB signal to quantisation noise")
    assert ratio > 20
