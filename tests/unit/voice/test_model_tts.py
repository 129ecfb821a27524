"""Our own voice for the assistant's answers: text in pieces, sound as soon as a word is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noctule.audio.wav_writer import WavWriter
from noctule.config.speech import Speech
from noctule.lm.speech.pair import SpeechPair, load_pair
from noctule.voice.tts.local import ModelSynthesizer, open_speaker

FIXTURES = Path(__file__).parents[2] / "fixtures"
TTS, CODEC = FIXTURES / "kyutai-tiny-modes" / "tts", FIXTURES / "kyutai-tiny" / "codec"
TEXT = "turn on the lamp now please"


@pytest.fixture
def pair() -> Iterator[SpeechPair]:
    with load_pair(TTS, CODEC) as loaded:
        yield loaded


def spoken(synthesizer: ModelSynthesizer, pieces: list[str]) -> np.ndarray:
    synthesis = synthesizer.begin()
    sound = []
    for piece in pieces:
        synthesis.more(piece)
        while (frame := synthesis.step()) is not None:
            sound.append(frame)
    synthesis.close()
    while not synthesis.done:
        frame = synthesis.step()
        if frame is not None:
            sound.append(frame)
    synthesis.cancel()
    return np.concatenate(sound) if sound else np.zeros(0)


def test_a_text_in_pieces_sounds_as_the_whole_text(pair):
    speaker, warnings = open_speaker(pair, Speech())
    assert warnings == []
    whole = np.concatenate(list(speaker.say(TEXT)))
    synthesizer = ModelSynthesizer(pair, speaker)
    assert synthesizer.name == pair.model.manifest.name
    assert synthesizer.begin().rate == 24_000
    np.testing.assert_array_equal(spoken(synthesizer, [TEXT]), whole)
    np.testing.assert_array_equal(spoken(synthesizer, ["turn on the la", "mp", " now please"]), whole)
    np.testing.assert_array_equal(spoken(synthesizer, [TEXT, " \n"]), whole)


def test_nothing_is_stepped_while_words_are_missing(pair):
    synthesis = ModelSynthesizer(pair, open_speaker(pair, Speech())[0]).begin()
    assert synthesis.step() is None
    synthesis.more("lam")
    assert synthesis.step() is None
    synthesis.close()
    assert not synthesis.done
    empty = ModelSynthesizer(pair, open_speaker(pair, Speech())[0]).begin()
    empty.more("  ")
    empty.close()
    assert empty.done


def test_figures_are_written_out_for_a_model_that_reads_words_alone(pair, monkeypatch):
    speaker = open_speaker(pair, Speech())[0]
    assert not speaker.settings.spells
    monkeypatch.setattr(speaker, "settings", replace(speaker.settings, spells=True))
    synthesis = ModelSynthesizer(pair, speaker).begin()
    feed = synthesis._utterance.feed
    said: list[str] = []
    monkeypatch.setattr(feed, "more", lambda entries: said.extend(entry.text for entry in entries if entry.text))
    synthesis.more("It is 9:")
    assert said == []
    synthesis.more("05, and 21")
    assert said == ["it", "is", "nine", "oh", "five"]
    synthesis.more(" °C.")
    synthesis.close()
    assert said[5:] == ["and", "twenty", "one", "degrees"]
    silent = ModelSynthesizer(pair, speaker).begin()
    silent.more("picture-1.jpg")
    silent.close()
    assert silent.done, "there is nothing to say"


def test_the_voice_may_be_a_recording(pair, tmp_path):
    with WavWriter(tmp_path / "me.wav", 24_000) as out:
        out.write((np.random.default_rng(0).standard_normal(48_000) * 3).astype(np.float32))
    speech = Speech()
    speech.voice = str(tmp_path / "me.wav")
    speaker, warnings = open_speaker(pair, speech)
    assert "clipped" in warnings[0]
    assert speaker._options["prefix"].shape[0] == 3
    plain = open_speaker(pair, Speech())[0]
    assert plain._options["prefix"] is None
