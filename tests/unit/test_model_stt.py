"""Our own recogniser for the assistant's turns: loaded once, at the first command, each command on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noctule.errors import InputError, ModelError
from noctule.lm.speech_lm import Hooks
from noctule.lm.speech_pair import SpeechPair, load_pair
from noctule.model_stt import ModelRecogniser

FIXTURES = Path(__file__).parents[1] / "fixtures"
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


def test_commands_are_heard_one_by_one_on_one_model():
    loads = Loads()
    recogniser = ModelRecogniser(loads)
    assert loads.count == 0
    assert recogniser.transcribe(SOUND) == "turn lamp"
    assert recogniser.transcribe(-SOUND[:4000]) == "turn lamp"  # the first left nothing behind
    assert loads.count == 1
    recogniser.close()
    assert recogniser.transcribe(SOUND) == "turn lamp"
    assert loads.count == 2
    recogniser.close()
    recogniser.close()


def test_it_is_heard_at_the_codecs_rate(monkeypatch):
    recogniser = ModelRecogniser(Loads())
    recogniser.transcribe(SOUND)
    fed: list[np.ndarray] = []
    listener = recogniser._listener
    assert listener is not None
    feed = listener.feed
    monkeypatch.setattr(listener, "feed", lambda frame: fed.append(frame) or feed(frame))
    tone = (10_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    recogniser.transcribe(tone)
    sound = np.concatenate(fed)
    assert len(sound) == 13 * 1920  # a second is 12.5 frames
    wanted = 10_000 / 32_768 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    np.testing.assert_allclose(sound[2_000:20_000], wanted[2_000:20_000], atol=1e-3)
    recogniser.close()


def test_no_sound_and_other_models_are_one_sentence():
    recogniser = ModelRecogniser(Loads())
    with pytest.raises(InputError, match="no sound"):
        recogniser.transcribe(np.zeros(0, np.int16))
    speaking = ModelRecogniser(lambda: load_pair(FIXTURES / "kyutai-tiny-modes" / "tts", CODEC))
    with pytest.raises(ModelError, match="made for tts, not stt"):
        speaking.transcribe(SOUND)
