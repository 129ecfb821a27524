"""Text to speech on the fixture beside moshi's TTSModel.generate, and the sound that comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import InputError, ModelError
from noctule.lm.sampler import Sampling
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import SpeechSampling
from noctule.lm.speech.speaker_voice import speaking_conditions
from noctule.lm.speech.tts import Speaker, TtsSettings, prefix_codes

FIXTURES = Path(__file__).parents[2] / "fixtures"
TURNS = ['turn on the lamp: please <break time="0.4s"/> now', "what time is it"]
GREEDY = SpeechSampling(Sampling(temperature=0.0), Sampling(temperature=0.0))


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    loaded = SpeechModel.load(FIXTURES / "kyutai-tiny-modes" / "tts")
    yield loaded
    loaded.close()


@pytest.fixture
def voice(model, moshi_said) -> dict:
    return speaking_conditions(model.conditions, [moshi_said["tts_voice"]])


def run(speaker: Speaker, frames: list[np.ndarray]) -> tuple[list[np.ndarray], object]:
    utterance = speaker.begin(speaker.entries(TURNS))
    sound = []
    while not utterance.done:
        pcm = utterance.step()
        if pcm is not None:
            sound.append(pcm)
    return sound, utterance


@pytest.mark.parametrize("prefixed", [False, True])
def test_every_token_equals_moshi(model, codec, moshi_said, voice, prefixed):
    frames: list[np.ndarray] = []
    prefix = moshi_said["tts_prefix"].astype(np.int32) if prefixed else None
    speaker = Speaker(model, codec, sampling=GREEDY, conditions=voice, prefix=prefix, on_frame=frames.append)
    sound, utterance = run(speaker, frames)
    name = "tts_prefixed" if prefixed else "tts"
    np.testing.assert_array_equal(np.array(frames), moshi_said[f"{name}_frames"])
    assert utterance.feed.end_step == int(moshi_said[f"{name}_end"])
    assert [step for _, step in utterance.feed.transcript] == moshi_said[f"{name}_word_steps"].tolist()
    words = [word for word, _ in utterance.feed.transcript]
    assert " ".join(words) == "turn on the lamp please now what time is it"
    # moshi's simple_generate keeps pcm[prefix : end] of what is decoded after the delay and two frames of click
    delay = speaker.settings.delay
    wanted = len(frames[delay:][2:][6 if prefixed else 0 : utterance.feed.end_step])
    assert len(sound) == wanted


def test_the_sound_is_the_decoded_frames(model, codec, moshi_said, voice):
    speaker = Speaker(model, codec, sampling=GREEDY, conditions=voice)
    sound = np.concatenate(list(speaker.say(*TURNS)))
    decoder = codec.decoder()
    all_frames = [decoder.step(f[1:].astype(np.int32)) for f in moshi_said["tts_frames"][speaker.settings.delay :]]
    wanted = np.clip(np.concatenate(all_frames[2:][: int(moshi_said["tts_end"])]), -1, 1)
    np.testing.assert_allclose(sound, wanted, atol=1e-6)


def test_the_voice_changes_the_sound_and_two_utterances_share_nothing(model, codec, moshi_said, voice):
    def tokens(conditions: dict) -> list[list[int]]:
        frames: list[np.ndarray] = []
        run(Speaker(model, codec, sampling=GREEDY, conditions=conditions, on_frame=frames.append), frames)
        return [f.tolist() for f in frames]

    alone = tokens(voice)
    other = {**voice, "speaker_wavs": voice["speaker_wavs"][0][:4] * -3}
    assert tokens(other) != alone
    assert tokens({}) != alone
    frames: tuple[list, list] = ([], [])
    pair = [
        Speaker(model, codec, sampling=GREEDY, conditions=c, on_frame=f.append)
        for c, f in zip((voice, other), frames, strict=True)
    ]
    utterances = [s.begin(s.entries(TURNS)) for s in pair]
    while not all(u.done for u in utterances):
        for u in utterances:
            if not u.done:
                u.step()
    assert [f.tolist() for f in frames[0]] == alone
    assert [f.tolist() for f in frames[1]] == tokens(other)


def test_words_may_come_while_it_speaks(model, codec, voice):
    speaker = Speaker(model, codec, sampling=GREEDY, conditions=voice)
    utterance = speaker.begin(complete=False)
    for _ in range(20):
        utterance.step()
    assert utterance.feed.transcript == []
    utterance.feed.more(speaker.entries(["turn on the lamp"]))
    utterance.feed.close()
    steps = 0
    while not utterance.done:
        utterance.step()
        steps += 1
        assert steps < 200
    assert [w for w, _ in utterance.feed.transcript] == ["turn", "on", "the", "lamp"]


def test_fewer_codebooks_still_speak(model, codec, voice):
    frames: list[np.ndarray] = []
    speaker = Speaker(model, codec, sampling=GREEDY, conditions=voice, codebooks=2, on_frame=frames.append)
    sound, _ = run(speaker, frames)
    assert frames[0].shape == (3,)
    assert all(np.isfinite(pcm).all() for pcm in sound)
    assert len(sound) > 10


def test_a_codec_of_another_model_is_refused(model, codec, voice):
    class Shape:
        n_q, card, frame_samples, frame_rate, sample_rate = 9, 24, 1920, 12.5, 24000

    class Other:
        shape = Shape()

    with pytest.raises(ModelError, match="wants 9 codebooks"):
        Speaker(model, Other(), conditions=voice).begin()
    Other.shape.n_q, Other.shape.card = 3, 99
    with pytest.raises(ModelError, match="has 99 codes"):
        Speaker(model, Other(), conditions=voice).begin()


def test_conditions_are_checked_by_name_and_shape(model, codec):
    def begin(**conditions) -> None:
        Speaker(model, codec, conditions=conditions).begin()

    with pytest.raises(InputError, match="takes no condition 'mood'"):
        begin(mood="happy")
    with pytest.raises(InputError, match=r"'cfg' cannot be '9\.0'"):
        begin(cfg="9.0")
    with pytest.raises(InputError, match="up to 20 rows of 8 numbers"):
        begin(speaker_wavs=np.zeros((21, 8)))
    with pytest.raises(InputError, match="up to 20 rows of 8 numbers"):
        begin(speaker_wavs=np.zeros((4, 9)))
    with pytest.raises(InputError, match="not a number"):
        begin(speaker_wavs=np.full((4, 8), np.nan))


def test_a_prefix_needs_sound_and_enough_codebooks(model, codec, voice):
    with pytest.raises(InputError, match="too short"):
        prefix_codes(codec, iter([np.zeros(1920, np.float32)] * 2))
    codes = prefix_codes(codec, iter([np.zeros(1920, np.float32)] * 5))
    assert codes.shape == (3, 3)
    with pytest.raises(InputError, match="has 1 codebooks"):
        Speaker(model, codec, conditions=voice, prefix=codes[:1]).begin()


def test_models_that_cannot_speak_are_refused(codec):
    with SpeechModelOf("kyutai-tiny-modes/stt") as stt, pytest.raises(ModelError, match="made for stt, not tts"):
        Speaker(stt, codec)


class SpeechModelOf:
    def __init__(self, name: str) -> None:
        self.model = SpeechModel.load(FIXTURES / name)

    def __enter__(self) -> SpeechModel:
        return self.model

    def __exit__(self, *_: object) -> None:
        self.model.close()


def test_two_voices_at_once_are_refused(model):
    settings = dict(model.settings)
    try:
        model.settings = {**settings, "tts": {**settings["tts"], "multistream": True}}
        with pytest.raises(ModelError, match="two voices at once"):
            TtsSettings.of(model)
        model.settings = {**settings, "tts": {**settings["tts"], "audio_delay": "soon"}}
        with pytest.raises(ModelError, match="cannot be read"):
            TtsSettings.of(model)
    finally:
        model.settings = settings


def test_a_duplex_model_speaks_by_its_own_text_stream(codec):
    with SpeechModelOf("kyutai-tiny/lm") as duplex:
        frames: list[np.ndarray] = []
        sound, utterance = run(Speaker(duplex, codec, sampling=GREEDY, on_frame=frames.append), frames)
        assert [w for w, _ in utterance.feed.transcript][:3] == ["turn", "on", "the"]
        spoken = [int(f[0]) for f in frames]
        want = [t for e in Speaker(duplex, codec).entries(TURNS) for t in e.tokens]
        assert [t for t in spoken if t not in (0, 3)] == [t for t in want if t not in (0, 3)]
        assert sound
