"""pocket-tts against what the package pocket_tts answered (recorded in tests/fixtures/pocket-tiny)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.speech import PocketSpeech
from noctule.lm.speech.pocket.text import chunks
from noctule.lm.speech.pocket.voice_state import read_state
from pocket_checkpoints import FLOWS, Recorded, frames, package, recorded


@pytest.fixture(scope="module", params=FLOWS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PocketModel, Recorded]]:
    folder = package(request.param, tmp_path_factory.mktemp("pocket") / request.param)
    model = PocketModel.load(folder)
    yield model, recorded(request.param)
    model.close()


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_conditioning_latents_ends_and_sound_equal_the_reference_over_100_frames(
    both: tuple[PocketModel, Recorded],
) -> None:
    model, wanted = both
    voice = model.voice()
    hidden, end, latent, sound = frames(model, voice, wanted.tokens.tolist(), wanted.noise)
    assert len(hidden) == 100
    assert relative(hidden, wanted.hidden) <= 1e-4
    assert relative(latent, wanted.latent) <= 1e-4
    assert np.array_equal(end > wanted.threshold, wanted.end > wanted.threshold)
    assert 0 < (end > wanted.threshold).sum() < 100
    assert np.abs(sound - wanted.sound).max() <= 1e-3 * max(1.0, float(np.abs(wanted.sound).max()))


def test_a_voice_from_a_recording_is_the_state_that_pocket_tts_exports(both: tuple[PocketModel, Recorded]) -> None:
    model, wanted = both
    saved = read_state(wanted.folder / "voice.safetensors", model.backbone.layers, model.backbone.shape)
    cloned = model.clone(wanted.pcm)
    assert cloned.length == saved.length
    for ours, theirs in zip((*cloned.keys, *cloned.values), (*saved.keys, *saved.values), strict=True):
        assert relative(ours, theirs) <= 1e-4


def test_a_text_is_cut_and_written_as_the_reference_does(both: tuple[PocketModel, Recorded]) -> None:
    model, wanted = both
    found = chunks(wanted.text, model.tokenizer, model.settings.text)
    assert [(c.text, c.tokens, c.frames_after_end) for c in found] == wanted.chunks


def test_a_whole_text_is_as_long_and_sounds_as_the_reference(both: tuple[PocketModel, Recorded]) -> None:
    model, wanted = both
    speech = PocketSpeech(model, model.voice(), noise=lambda: wanted.noise[0], threshold=float(wanted.threshold))
    speech.add(wanted.text)
    sound = []
    while not speech.done:
        frame = speech.step()
        if frame is not None:
            sound.append(frame)
    said = np.concatenate(sound)
    assert said.shape == wanted.said.shape
    assert np.abs(said - np.clip(wanted.said, -1, 1)).max() <= 1e-3


def test_int8_stays_near(tmp_path: Path) -> None:
    wanted = recorded("lsd")
    folder = package("lsd", tmp_path / "int8", linear="int8", conv="int8")
    model = PocketModel.load(folder)
    hidden, _, latent, sound = frames(model, model.voice(), wanted.tokens.tolist(), wanted.noise[:1])
    model.close()
    assert 0 < relative(hidden, wanted.hidden[:1]) < 0.05
    assert relative(latent, wanted.latent[:1]) < 0.05
    assert 0 < relative(sound, wanted.sound[:1]) < 0.1
