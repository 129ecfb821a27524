"""Speech to text on the fixture beside moshi, and the path from samples to timed words and ends of turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import ModelError
from noctule.lm.sampler import Sampling
from noctule.lm.speech.codec import Encoder
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import Hooks, SpeechSampling
from noctule.lm.speech.stt import EndOfTurn, SttSettings, Transcriber
from noctule.lm.speech.words import Word

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    loaded = SpeechModel.load(FIXTURES / "kyutai-tiny-modes" / "stt")
    yield loaded
    loaded.close()


class Recorded:
    """An encoder that has the reference's codes up its sleeve."""

    n_q, frame_samples, sample_rate = 3, 1920, 24_000

    def __init__(self, codes: np.ndarray) -> None:
        self._codes = codes.astype(np.int32)
        self.reset()

    def reset(self) -> None:
        self._left = iter(self._codes)

    def step(self, pcm: np.ndarray) -> np.ndarray:
        return next(self._left, np.zeros(3, np.int32))


PLAIN = SttSettings(turn_head=None)


def test_text_and_extra_heads_equal_moshi(model, moshi_said):
    texts: list[int] = []
    session = model.session(hooks=Hooks(text=lambda t: texts.append(t) or t))
    listener = Transcriber(session, Recorded(moshi_said["stt_codes"]), model.words(), PLAIN)
    heads = []
    for _ in range(len(moshi_said["stt_codes"])):
        listener.feed(np.zeros(1920, np.float32))
        heads.append(session.extra_heads())
    # the reference recorded the step on initial tokens too, which is the first of ours as well
    assert texts == moshi_said["stt_text"].tolist()
    np.testing.assert_allclose(np.array(heads), moshi_said["stt_extra"][1:], atol=1e-5)


def script(model: SpeechModel, tokens: list[int]) -> Hooks:
    """A model that writes these text tokens, one a step, then padding."""
    left = iter(tokens)
    return Hooks(text=lambda _: next(left, model.layout.text_padding))


def test_words_are_timed_by_frames_less_the_delay_and_the_prefix(model, codec):
    """Prefix 0.16 s is 2 frames, delay 0.24 s is 3 frames; the step on initial tokens says nothing."""
    lamp = model.tokenizer.encode("lamp")
    silence = np.zeros(1920, np.float32)
    # step 0 reads the initial tokens; steps 1, 2 the silent prefix; audio frame i is step 3 + i
    tokens = [3, 3, 3] + [3] * 3 + [0, *lamp] + [3, 3]
    session = model.session(hooks=script(model, tokens))
    settings = SttSettings.of(model.settings["stt"])
    listener = Transcriber(session, codec.encoder(), model.words(settings.lag), settings)
    heard = [word for _ in range(12) for word in listener.feed(silence)]
    # the mark is written at step 6, when 4 frames of the audio were heard, 3 of which are delay
    assert [(w.text, round(w.start * 12.5)) for w in heard] == [("lamp", 1)]


def test_finishing_writes_the_last_word_and_resets(model, codec):
    lamp = model.tokenizer.encode("lamp")
    tokens = [3] * 5 + [0, *lamp]
    session = model.session(hooks=script(model, tokens))
    settings = SttSettings.of(model.settings["stt"])
    listener = Transcriber(session, codec.encoder(), model.words(settings.lag), settings)
    listener.feed(np.zeros(1920, np.float32))
    assert [w.text for w in listener.finish()] == ["lamp"]
    assert session.steps == 0
    # 1 initial, 2 prefix, 1 frame, and (0.24 + 1.0) s of silence rounded to frames
    assert list(listener.finish()) == []


def test_the_end_of_a_turn_is_said_once_after_words(model, codec, monkeypatch):
    settings = SttSettings.of({}, extra_heads=4)
    assert (settings.turn_head, settings.turn_class) == (2, 0)
    chance = iter([0.1, 0.2, 0.8, 0.1, 0.9])  # asked only while a turn is open

    def heads() -> list[np.ndarray]:
        row = np.zeros(6, np.float32)
        row[0] = next(chance)
        return [np.zeros(6), np.zeros(6), row, np.zeros(6)]

    word = model.tokenizer.encode("turn")
    tokens = [3, 0, *word, 3, 3, 3, 3, 0, *word, 3, 3, 3]
    session = model.session(hooks=script(model, tokens))
    monkeypatch.setattr(session, "extra_heads", heads)
    listener = Transcriber(session, codec.encoder(), model.words(), settings)
    assert listener.hears_turns
    heard = [x for _ in tokens[1:] for x in listener.feed(np.zeros(1920, np.float32))]
    assert [type(x) for x in heard] == [Word, EndOfTurn, Word, EndOfTurn]
    # the word is complete at frame 2 + its pieces, and two frames later the head is sure
    assert heard[1] == EndOfTurn(pytest.approx((4 + len(word)) / 12.5), pytest.approx(0.8))
    assert next(chance, None) is None


def test_settings_come_from_the_manifest(model):
    settings = SttSettings.of(model.settings["stt"], extra_heads=4)
    assert (settings.delay, settings.prefix, settings.turn_head) == (0.24, 0.16, 2)
    assert settings.lag == pytest.approx(0.4)
    own = SttSettings.of({"end_of_turn": {"head": 1, "class": 3, "threshold": 0.7}}, extra_heads=2)
    assert (own.turn_head, own.turn_class, own.turn_threshold) == (1, 3, 0.7)
    assert SttSettings.of({}, extra_heads=2).turn_head is None
    with pytest.raises(ModelError, match="told by head 7"):
        SttSettings.of({"end_of_turn": {"head": 7}}, extra_heads=4)
    with pytest.raises(ModelError, match="cannot be read"):
        SttSettings.of({"audio_delay_seconds": "soon"})


def test_models_and_codecs_that_do_not_fit_are_refused(model, codec):
    with SpeechModelOf("kyutai-tiny/lm") as duplex, pytest.raises(ModelError, match="also speaks"):
        Transcriber(duplex.session(), codec.encoder(), duplex.words(), PLAIN)

    class Thin(Encoder):
        n_q = 2

        def __init__(self) -> None: ...

    with pytest.raises(ModelError, match="has 2 codebooks, but the model hears 3"):
        Transcriber(model.session(), Thin(), model.words(), PLAIN)


class SpeechModelOf:
    def __init__(self, name: str) -> None:
        self.model = SpeechModel.load(FIXTURES / name)

    def __enter__(self) -> SpeechModel:
        return self.model

    def __exit__(self, *_: object) -> None:
        self.model.close()


def test_greedy_is_the_published_setting_of_this_model(model):
    assert model.sampling == SpeechSampling(model.sampling.text, model.sampling.audio)
    assert model.sampling.text.temperature == 0.0
    assert isinstance(model.sampling.text, Sampling)


def test_a_word_tells_how_sure_the_model_was_of_its_tokens(model, codec):
    """The probability of each token, at temperature 1, is that of the model's own logits."""
    lamp = model.tokenizer.encode("lamp")
    assert len(lamp) > 1
    tokens = iter([3, 3, 3, 0, *lamp, 3, 3])
    written: list[tuple[int, np.ndarray]] = []
    logits: list[np.ndarray] = []

    def text(_: int) -> int:
        token = next(tokens, 3)
        written.append((token, logits[-1]))
        return token

    session = model.session(hooks=Hooks(text_logits=lambda row: logits.append(row.copy().reshape(-1)), text=text))
    listener = Transcriber(session, codec.encoder(), model.words(), PLAIN)
    words = [w for _ in range(9) for w in listener.feed(np.full(1920, 0.1, np.float32))]
    odds = [float(np.exp(row[t] - row.max()) / np.exp(row - row.max()).sum()) for t, row in written if t in lamp]
    (word,) = words
    assert word.confidence == pytest.approx(float(np.prod(odds) ** (1 / len(odds))), rel=1e-4)
    assert 0 < word.confidence < 1


def test_silence_that_was_heard_already_is_not_given_again(model, codec):
    settings = SttSettings(delay=0.4)
    steps: list[int] = []
    session = model.session(hooks=Hooks(text=lambda _: steps.append(1) or 3))
    listener = Transcriber(session, codec.encoder(), model.words(), settings)
    for quiet, wanted in ((0.0, 18), (0.24, 6), (0.72, 0), (2.0, 0)):
        listener.feed(np.zeros(1920, np.float32))
        steps.clear()
        list(listener.finish(quiet))
        assert abs(len(steps) - wanted) <= 1, quiet
