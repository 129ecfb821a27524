"""The shipped voice: models/noctule-tts and its codec, as the daemon loads and uses them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.audio.wav_writer import WavWriter
from noctule.audio.wavefile import WavReader
from noctule.lm.speech.pair import SpeechPair, find_codec, load_pair
from noctule.lm.speech.tts import Speaker

MODELS = Path(__file__).resolve().parents[3] / "models"
TEXT = "Timer set for 25 minutes."


@pytest.fixture(scope="module")
def pair() -> Iterator[SpeechPair]:
    with load_pair(MODELS / "noctule-tts", policy="allow") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def speaker(pair: SpeechPair) -> Speaker:
    return Speaker(pair.model, pair.codec)


def spoken_by(speaker: Speaker, *turns: str) -> np.ndarray:
    return np.concatenate(list(speaker.say(*turns)))


def test_the_package_finds_its_codec_and_is_a_voice(pair: SpeechPair) -> None:
    assert find_codec(MODELS / "noctule-tts") == MODELS / "noctule-speech-codec"
    assert pair.model.modes == ("tts",)
    assert pair.codec.shape.sample_rate == 16_000
    assert pair.model.layout.dep_q == pair.codec.shape.n_q == 8


def test_it_fits_a_small_board() -> None:
    total = sum(path.stat().st_size for name in ("noctule-tts", "noctule-speech-codec", "noctule-stt")
                if (MODELS / name).is_dir() for path in (MODELS / name).iterdir())  # fmt: skip
    assert total < 13_000_000


def test_a_sentence_becomes_speech(speaker: Speaker) -> None:
    sound = spoken_by(speaker, TEXT)
    seconds = len(sound) / 16_000
    assert 1.2 < seconds < 4.5  # five words and a half
    loud = np.sqrt(np.square(sound[: len(sound) // 320 * 320].reshape(-1, 320)).mean(1))
    assert loud.max() > 0.03  # it is heard
    assert np.median(loud) > 0.003
    assert (loud > 0.01).mean() > 0.3  # for most of its length
    assert loud.std() > 0.3 * loud.mean()  # and it is no hum
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / 16_000)
    voice = spectrum[(frequency > 80) & (frequency < 4000)].sum() / spectrum.sum()
    assert voice > 0.8  # where voices are


def test_the_same_text_is_said_the_same_and_another_is_not(speaker: Speaker) -> None:
    once, again, other = (spoken_by(speaker, text) for text in (TEXT, TEXT, "The microphone is off now."))
    np.testing.assert_array_equal(once, again)
    shared = min(len(once), len(other))
    apart = np.abs(once[:shared] - other[:shared])
    assert apart.mean() > 0.2 * np.abs(once).mean()


def test_longer_texts_are_longer_and_all_of_them_end(speaker: Speaker) -> None:
    lengths = []
    for count in (1, 4, 12):
        text = " ".join(["Volume at 40%."] * count)
        utterance = speaker.begin(speaker.entries([text]))
        steps = 0
        while not utterance.done:
            utterance.step()
            steps += 1
        begun = utterance.feed.transcript
        assert len(begun) == 4 * count
        assert utterance.feed.end_step is not None
        # no word is waited for longer than the feed allows, nor is the end
        assert utterance.feed.end_step - begun[-1][1] <= speaker.settings.rules.max_padding + 3
        lengths.append(steps)
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[2] < 12 * lengths[0]


def test_what_was_said_is_freed_at_once(speaker: Speaker) -> None:
    """Its caches are native memory that the collector of cycles does not see: it would let megabytes gather."""
    utterance = speaker.begin(complete=False)
    utterance.feed.more(speaker.entries([TEXT], continued=False, ends=True))
    assert any(utterance.step() is not None for _ in range(40))
    gone = weakref.ref(utterance)
    gc.disable()
    try:
        del utterance
        assert gone() is None
    finally:
        gc.enable()


def test_a_word_that_no_dictionary_has_is_said(speaker: Speaker) -> None:
    utterance = speaker.begin(speaker.entries(["The xyzzq timer is over."]))
    while not utterance.done:
        utterance.step()
    assert [word for word, _ in utterance.feed.transcript] == ["the", "xyzzq", "timer", "is", "over"]


def test_numbers_and_signs_are_read_as_words(speaker: Speaker) -> None:
    said = [entry.text for entry in speaker.entries(["It is 9:05, 21.5 °C."])]
    assert said == ["it", "is", "nine", "oh", "five", "", "twenty", "one", "point", "five", "degrees"]


def test_a_pause_is_heard(speaker: Speaker) -> None:
    plain = len(spoken_by(speaker, "timer set timer set"))
    paused = len(spoken_by(speaker, 'timer set <break time="1.2s"/> timer set'))
    assert paused - plain > 0.6 * 16_000


def test_decode_is_the_same_in_pieces_and_from_the_start_again(pair: SpeechPair) -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (10, 8)).astype(np.int32)
    one, two = pair.codec.decoder(), pair.codec.decoder()
    first = [one.step(frame) for frame in codes]
    mixed = []
    for index, frame in enumerate(codes):  # another stream in between changes nothing
        mixed.append(two.step(frame))
        if index % 3 == 0:
            one.step(frame)
    np.testing.assert_array_equal(np.stack(first), np.stack(mixed))
    one.reset()
    np.testing.assert_array_equal(np.stack([one.step(frame) for frame in codes]), np.stack(first))


def test_missing_codebooks_are_borne(pair: SpeechPair) -> None:
    decoder = pair.codec.decoder()
    codes = np.full(8, 1024, np.int32)
    codes[:4] = 7
    sound = np.concatenate([decoder.step(codes) for _ in range(5)])
    assert np.isfinite(sound).all()


def test_the_sound_survives_a_file(speaker: Speaker, tmp_path: Path) -> None:
    sound = spoken_by(speaker, "Okay.")
    with WavWriter(tmp_path / "said.wav", 16_000) as out:
        out.write(sound)
    with WavReader(tmp_path / "said.wav") as back:
        frames = np.concatenate(list(back.at_rate(16_000, 1280)))
    np.testing.assert_allclose(frames[: len(sound)], sound, atol=1e-4)
