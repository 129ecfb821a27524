"""The streaming codec on the fixture beside what moshi's Mimi answered, and the state of its streams."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import InputError, ModelError
from noctule.inference.package_writer import write_manifest
from noctule.lm.speech.codec import Codec

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny"


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    loaded = Codec.load(FIXTURE / "codec")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(FIXTURE / "reference.npz") as z:
        return {name: z[name] for name in z.files if name.startswith("codec_")}


def frames(reference: dict[str, np.ndarray]) -> np.ndarray:
    pcm = reference["codec_pcm"].astype(np.float32) / 127
    return pcm.reshape(-1, 1920)


def test_codes_equal_and_samples_close_to_moshi(codec, reference):
    encoder, decoder = codec.encoder(), codec.decoder()
    codes = np.stack([encoder.step(frame) for frame in frames(reference)])
    np.testing.assert_array_equal(codes, reference["codec_codes"])
    pcm = np.concatenate([decoder.step(row.astype(np.int32)) for row in reference["codec_codes"]])
    wanted = reference["codec_samples"]
    assert np.abs(pcm - wanted).max() / np.abs(wanted).max() < 1e-4
    assert encoder.frames == decoder.frames == len(codes)


def test_reset_begins_in_silence_again(codec, reference):
    encoder, decoder = codec.encoder(), codec.decoder()

    def run() -> tuple[np.ndarray, np.ndarray]:
        codes = [encoder.step(frame) for frame in frames(reference)[:8]]
        return np.stack(codes), np.stack([decoder.step(c) for c in codes])

    first = run()
    carried_on = run()
    assert not np.array_equal(carried_on[1], first[1])  # there is state
    encoder.reset()
    decoder.reset()
    again = run()
    np.testing.assert_array_equal(again[0], first[0])
    np.testing.assert_array_equal(again[1], first[1])


def test_two_streams_never_share_state(codec, reference):
    sound = frames(reference)[:8]
    alone = [codec.encoder() for _ in range(2)]
    expected = [np.stack([e.step(f) for f in s]) for e, s in zip(alone, (sound, sound[::-1]), strict=True)]
    a, b = codec.encoder(), codec.encoder()
    mixed = [(a.step(f), b.step(g)) for f, g in zip(sound, sound[::-1], strict=True)]
    np.testing.assert_array_equal(np.stack([m[0] for m in mixed]), expected[0])
    np.testing.assert_array_equal(np.stack([m[1] for m in mixed]), expected[1])


def test_a_codebook_that_is_not_given_adds_nothing(codec):
    nothing = codec.shape.card
    a, b = codec.decoder(), codec.decoder()
    only_first = a.step(np.asarray([5, nothing, nothing], np.int32))
    everything = b.step(np.asarray([5, 7, 9], np.int32))
    assert np.isfinite(only_first).all()
    assert not np.array_equal(only_first, everything)
    # and the encoder never answers with it
    noise = np.random.default_rng(0).standard_normal((20, 1920)).astype(np.float32)
    encoder = codec.encoder()
    assert max(int(encoder.step(frame).max()) for frame in noise) < nothing


def test_frames_of_another_shape_are_refused(codec):
    encoder, decoder = codec.encoder(), codec.decoder()
    with pytest.raises(InputError, match="a frame is 1920 samples"):
        encoder.step(np.zeros(1919, np.float32))
    with pytest.raises(InputError, match="a frame is 3 codes"):
        decoder.step(np.zeros(4, np.int32))
    for bad in (-1, 25):
        with pytest.raises(InputError, match="but the codec has 24"):
            decoder.step(np.asarray([0, 0, bad], np.int32))


def package(tmp_path: Path, change) -> Path:
    """A copy of the fixture whose manifest was changed and is consistent again."""
    folder = tmp_path / "codec"
    shutil.copytree(FIXTURE / "codec", folder)
    data = json.loads((folder / "manifest.json").read_text())
    change(data)
    data.pop("files")
    write_manifest(folder, data)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["codec"].pop("golden"), "no golden frames"),
        (lambda m: m["codec"]["golden"].pop("codes"), "cannot be read"),
        (lambda m: m["codec"]["golden"].update(seed=6), "of the golden codes come out right"),
        (lambda m: m["codec"]["golden"].update(pcm=[[9.0] * 8] * 3), "decode to other sound"),
        (lambda m: m["codec"].pop("card"), "codec.card: expected a whole number from 1"),
        (lambda m: m["codec"].update(card=0), "codec.card: expected a whole number from 1"),
        (lambda m: m["codec"].update(frame_samples=1900), "is not 12.5 frames a second"),
        (lambda m: m["graph"]["signatures"]["decode"]["inputs"].pop("codes"), "decode: input 'codes'"),
    ],
)
def test_broken_packages_are_one_sentence(tmp_path, change, words):
    with pytest.raises(ModelError) as caught:
        Codec.load(package(tmp_path, change))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="expected 'codec'"):
        Codec.load(FIXTURE / "lm")
