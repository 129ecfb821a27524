"""RHVoice as a speech engine: it says what it is given and tells when each word is said."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

pytest.importorskip("scipy")

from builders.sound.engines import rhvoice, spelled
from builders.speech.speaker_rhvoice import RhvoiceSpeaker

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not rhvoice.voices(), reason="needs librhvoice5 and rhvoice-english"),
]
TEXT = "what's the time in seven hours"


@pytest.fixture(scope="module")
def speaker() -> RhvoiceSpeaker:
    return RhvoiceSpeaker()


def test_neither_a_test_speaker_nor_a_voice_under_a_narrow_licence_is_offered() -> None:
    assert set(rhvoice.voices()) <= {"alan", "bdl", "clb"}


@pytest.mark.parametrize("voice", rhvoice.voices())
def test_words_follow_each_other_inside_the_speech(speaker: RhvoiceSpeaker, voice: str) -> None:
    clip = speaker.say(TEXT, voice, Random(1))
    assert clip is not None
    assert clip.audio.dtype == np.float32
    assert 0.8 < clip.seconds < 4.5
    assert [word.label for word in clip.words] == TEXT.split()
    times = [at for word in clip.words for at in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= clip.seconds + 0.01
    assert clip.phones == ()
    level = np.sqrt(np.square(clip.audio[int(times[0] * 16_000) : int(times[-1] * 16_000)]).mean())
    assert level > 0.02


def test_a_seed_gives_the_same_and_another_another(speaker: RhvoiceSpeaker) -> None:
    first, again, other = (speaker.say(TEXT, "bdl", Random(seed)) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.audio, again.audio)
    assert first.seconds != other.seconds


def test_slower_is_longer() -> None:
    engine = rhvoice.Rhvoice()
    slow, fast = (engine.timed("clb", TEXT, pace, 1.0) for pace in (0.7, 1.4))
    assert slow is not None
    assert fast is not None
    assert len(slow[0]) > 1.5 * len(fast[0])
    assert engine.say("alan", spelled("okay nabu"), np.random.default_rng(1)) is not None
    assert engine.timed("bdl", "", 1.0, 1.0) is None
