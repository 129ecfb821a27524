"""Full duplex on the fixture: the same tokens as moshi's loop, sound from them, and the end of a translation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import ModelError
from noctule.lm.sampler import Sampling
from noctule.lm.speech.codec import Codec
from noctule.lm.speech.duplex import Duplex
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import Hooks, SpeechSampling

FIXTURES = Path(__file__).parents[2] / "fixtures"
GREEDY = SpeechSampling(Sampling(temperature=0.0), Sampling(temperature=0.0))


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[SpeechModel, Codec]]:
    model, codec = SpeechModel.load(FIXTURES / "kyutai-tiny" / "lm"), Codec.load(FIXTURES / "kyutai-tiny" / "codec")
    yield model, codec
    model.close()
    codec.close()


def talk(model: SpeechModel, codec: Codec, hooks: Hooks | None = None, eos: frozenset[int] = frozenset()) -> Duplex:
    session = model.session(sampling=GREEDY, hooks=hooks)
    return Duplex(session, codec.encoder(), codec.decoder(), model.words(), eos)


SOUND = np.random.default_rng(3).uniform(-0.5, 0.5, (20, 1920)).astype(np.float32)


def test_it_is_the_codec_and_the_model_in_turn(parts):
    model, codec = parts
    conversation = talk(model, codec)
    got = [conversation.feed(frame) for frame in SOUND]
    encoder, decoder, session = codec.encoder(), codec.decoder(), model.session(sampling=GREEDY)
    for i, frame in enumerate(SOUND):
        codes = encoder.step(frame)
        if i == 0:
            session.step(codes)  # the first frame twice
        tokens = session.step(codes)
        spoken = got[i]
        assert spoken is not None
        assert spoken.text == tokens[0]
        np.testing.assert_array_equal(spoken.pcm, np.clip(decoder.step(tokens[1:]), -1, 1))


def test_reset_begins_anew_and_two_talks_share_nothing(parts):
    a, b = talk(*parts), talk(*parts)
    first = [a.feed(f) for f in SOUND]
    a.reset()
    mixed = []
    for f in SOUND:
        b.feed(-f)
        mixed.append(a.feed(f))
    assert [s.text for s in mixed] == [s.text for s in first]
    np.testing.assert_array_equal(mixed[-1].pcm, first[-1].pcm)


def test_a_translation_ends_with_its_text(parts):
    model, codec = parts
    lamp = model.tokenizer.encode("lamp")
    script = iter([3, 3, 0, *lamp, 3, 2, 3, 3])
    conversation = talk(model, codec, Hooks(text=lambda _: next(script, 3)), frozenset({2}))
    conversation.feed(SOUND[0])
    said = list(conversation.finish(50))
    assert [s.word.text for s in said if s.word] == ["lamp"]
    # the second padding (aligned frames are one step late here), the mark, the word, one padding; then the end
    assert len(said) == 1 + 1 + len(lamp) + 1
    assert conversation.last_word() is None


def test_it_never_goes_on_for_ever(parts):
    conversation = talk(*parts)
    conversation.feed(SOUND[0])
    assert len(list(conversation.finish(7))) == 7


def test_other_models_and_codecs_are_refused(parts):
    model, codec = parts
    stt = SpeechModel.load(FIXTURES / "kyutai-tiny-modes" / "stt")
    with pytest.raises(ModelError, match="not a duplex model"):
        talk(stt, codec)
    stt.close()

    class Thin:
        n_q = 2

    with pytest.raises(ModelError, match="has 2 codebooks"):
        Duplex(model.session(), Thin(), codec.decoder(), model.words(), frozenset())
