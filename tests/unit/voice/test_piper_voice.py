"""The default voice, imported by scripts/fetch_models; skipped where that or espeak-ng is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from noctule.config.speech import Speech
from noctule.core.errors import InputError
from noctule.lm.speech.piper.voice import PiperVoice
from noctule.voice.tts.piper import PiperSynthesizer

PACKAGE = Path(__file__).resolve().parents[3] / "models" / "en_US-joe-medium"
pytestmark = pytest.mark.skipif(
    not (PACKAGE / "manifest.json").exists() or shutil.which("espeak-ng") is None,
    reason="needs scripts/fetch_models en_US-joe-medium and espeak-ng",
)


@pytest.fixture(scope="module")
def voice():
    opened = PiperVoice.open(PACKAGE)
    yield opened
    opened.close()


def spoken(voice: PiperVoice, text: str, speech: Speech | None = None, *, by: int = 0) -> np.ndarray:
    synthesis = PiperSynthesizer(voice, lambda: speech or Speech()).begin()
    for at in range(0, len(text), by or len(text)):
        synthesis.more(text[at : at + (by or len(text))])
    synthesis.close()
    pieces = []
    while (piece := synthesis.step()) is not None:
        pieces.append(piece)
    assert synthesis.done
    return np.concatenate([np.zeros(0, np.float32), *pieces])


def test_the_same_text_gives_the_same_samples_however_it_comes(voice):
    text = "The lights are on. It is 16:07."
    whole = spoken(voice, text)
    assert 1.0 < len(whole) / 22050 < 6.0
    assert np.abs(whole).max() > 0.1
    assert np.array_equal(whole, spoken(voice, text, by=3))


def test_pieces_joined_are_the_whole(voice):
    """The same frames, cut in small pieces and in large ones."""
    drawn = np.random.default_rng(1).standard_normal((150, voice.model.settings.channels)).astype(np.float32)
    whole = np.concatenate(list(voice.model.vocode(drawn)))
    settings = voice.model.settings
    object.__setattr__(settings, "decode", settings.decode[:1])
    try:
        small = np.concatenate(list(voice.model.vocode(drawn)))
    finally:
        object.__setattr__(settings, "decode", (8, 32))
    assert len(whole) == len(small) == 150 * settings.hop
    assert np.abs(whole - small).max() < 1e-3


def test_speed_and_volume_are_those_configured_now(voice):
    text = "Your next meeting begins after lunch."
    usual = spoken(voice, text)
    assert len(spoken(voice, text, Speech(speed=2.0))) < 0.65 * len(usual)
    assert np.abs(spoken(voice, text, Speech(volume=0.5))).max() == pytest.approx(np.abs(usual).max() / 2, rel=1e-3)


def test_what_cannot_be_said_is_no_sound_and_an_unknown_speaker_is_told(voice):
    assert len(spoken(voice, "😀 😀")) == 0
    with pytest.raises(InputError, match="no speaker 'anna'"):
        spoken(voice, "Hello.", Speech(speaker="anna"))


def test_letters_that_the_voice_does_not_know_are_told(voice):
    with pytest.raises(InputError, match="speaks en-us; it cannot speak Chinese letters"):
        spoken(voice, "你好")
    assert len(spoken(voice, "Hello 你好")) > 4000
