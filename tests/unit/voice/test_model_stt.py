"""Our own recogniser for the assistant's turns: loaded once, each command on its own, word by word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import ModelError
from noctule.lm.speech.pair import SpeechPair, load_pair
from noctule.lm.speech.session import Hooks
from noctule.lm.speech.words import Word
from noctule.voice.stt.local import ModelRecogniser

FIXTURES = Path(__file__).parents[2] / "fixtures"
STT, CODEC = FIXTURES / "kyutai-tiny-modes" / "stt", FIXTURES / "kyutai-tiny" / "codec"
SOUND = (np.random.default_rng(0).standard_normal(16_000) * 3000).astype(np.int16)


class Loads:
    """Counts loads, and makes the model write a text of our choice."""

    def __init__(self, package: Path = STT) -> None:
        self.count, self.package = 0, package

    def __call__(self) -> SpeechPair:
        self.count += 1
        pair = load_pair(self.package, CODEC)
        make, tokens = pair.model.session, pair.model.tokenizer.encode("turn")
        second = pair.model.tokenizer.encode("lamp")

        def session(**options):
            left: list[int] = []

            def text(_: int) -> int:
                if found.steps == 0:
                    left[:] = [3, 3, 3, 0, *tokens, 3, 0, *second, 3]
                return left.pop(0) if left else 3

            found = make(**options, hooks=Hooks(text=text))
            return found

        pair.model.session = session  # type: ignore[method-assign]
        return pair


def heard(recogniser: ModelRecogniser, sound: np.ndarray, block: int = 1600, quiet: float = 0.0) -> list[str]:
    listening = recogniser.begin()
    words = [item for at in range(0, len(sound), block) for item in listening.feed(sound[at : at + block])]
    words += listening.finish(quiet)
    listening.cancel()
    return [item.text for item in words if isinstance(item, Word)]


def test_commands_are_heard_one_by_one_on_one_model():
    loads = Loads()
    recogniser = ModelRecogniser(loads())
    assert recogniser.name == "kyutai-tiny-stt"
    assert heard(recogniser, SOUND) == ["turn", "lamp"]
    assert heard(recogniser, -SOUND[:4000]) == ["turn", "lamp"]  # the first left nothing behind
    half = recogniser.begin()
    half.feed(SOUND[:9000])
    assert heard(recogniser, SOUND, block=777) == ["turn", "lamp"]  # nor does one that was broken off
    assert loads.count == 1
    recogniser.close()


def test_words_come_while_the_command_is_spoken():
    recogniser = ModelRecogniser(Loads()())
    listening = recogniser.begin()
    early = [item.text for at in range(0, 16_000, 160) for item in listening.feed(SOUND[at : at + 160])]
    assert early[0] == "turn"
    assert all(item.confidence is not None for item in recogniser.begin().feed(SOUND) if isinstance(item, Word))
    recogniser.close()


def test_it_is_heard_at_the_codecs_rate(monkeypatch):
    recogniser = ModelRecogniser(Loads()())
    fed: list[np.ndarray] = []
    listener = recogniser._listener
    feed = listener.feed
    monkeypatch.setattr(listener, "feed", lambda frame: fed.append(frame) or feed(frame))
    tone = (10_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    heard(recogniser, tone)
    sound = np.concatenate(fed)
    assert len(sound) == 13 * 1920  # a second is 12.5 frames
    wanted = 10_000 / 32_768 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    np.testing.assert_allclose(sound[2_000:20_000], wanted[2_000:20_000], atol=1e-3)
    recogniser.close()


def test_the_package_may_name_its_own_least_confidence():
    pair = load_pair(STT, CODEC)
    assert ModelRecogniser(pair).confidence == 0.0
    settings = dict(pair.model.settings)
    pair.model.settings = {**settings, "stt": {**settings["stt"], "confidence": 0.55}}
    assert ModelRecogniser(pair).confidence == 0.55
    pair.model.settings = {**settings, "stt": {**settings["stt"], "confidence": "high"}}
    with pytest.raises(ModelError, match="confidence is no number: 'high'"):
        ModelRecogniser(pair)
    pair.close()


def test_no_sound_is_no_word_and_other_models_are_one_sentence():
    recogniser = ModelRecogniser(Loads()())
    assert heard(recogniser, np.zeros(0, np.int16)) == []
    recogniser.close()
    speaking = load_pair(FIXTURES / "kyutai-tiny-modes" / "tts", CODEC)
    with speaking, pytest.raises(ModelError, match="made for tts, not stt"):
        ModelRecogniser(speaking)
