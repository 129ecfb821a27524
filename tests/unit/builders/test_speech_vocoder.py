"""The voice that nobody has: the same words at the times that are told, with another sound."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

pytest.importorskip("scipy")  # a host tool

from builders.sound.vocoder import _HOP, envelope, pitch, timing
from builders.speech.clips import RATE, Clip, Span
from builders.speech.vocoder import revoiced


def hum(hertz: float, seconds: float) -> np.ndarray:
    """A buzz with two formants."""
    t = np.arange(int(seconds * RATE)) / RATE
    parts = [np.sin(2 * np.pi * hertz * k * t) / (1 + abs(hertz * k - 700) / 300) for k in range(1, 30)]
    return (0.1 * np.sum(parts, 0)).astype(np.float32)


@pytest.fixture
def clip() -> Clip:
    gap = np.zeros(int(0.3 * RATE), np.float32)
    spans = (Span("one", 0.3, 0.7), Span("two", 1.0, 1.5))
    return Clip(np.concatenate([gap, hum(130, 0.4), gap, hum(130, 0.5), gap]), "one two", "test:a", spans, spans)


@pytest.mark.parametrize("hertz", [90.0, 130.0, 220.0, 310.0])
def test_pitch(hertz: float) -> None:
    found, strength = pitch(hum(hertz, 0.5))
    middle = slice(20, -20)
    assert np.median(found[middle]) == pytest.approx(hertz, rel=0.02)
    assert strength[middle].min() > 0.8
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    assert np.median(pitch(noise)[1]) < 0.45


def test_the_envelope_has_the_formant_and_not_the_pitch() -> None:
    log = envelope(hum(130, 0.5))[40]
    peak = int(np.argmax(log)) * RATE / 512
    assert 450 < peak < 950
    ripple = np.abs(np.diff(log, 2)).max()
    assert ripple < 0.2  # harmonics at 130 Hz would stand out every four bins


def test_words_are_where_they_are_said_to_be(clip: Clip) -> None:
    for seed in range(8):
        other = revoiced(clip, Random(seed))
        level = np.sqrt(np.convolve(other.audio**2, np.ones(400) / 400, "same"))
        loud = level > 0.1 * level.max()
        inside = np.zeros(len(loud), bool)
        for span in other.words:
            inside[int(span.start * RATE) : int(span.end * RATE)] = True
        assert loud[inside].mean() > 0.85
        assert loud[~inside].mean() < 0.2
        assert other.words == other.phones
        assert [s.label for s in other.words] == ["one", "two"]
        assert abs(len(other.audio) / RATE - other.seconds) < 1e-9
        assert np.abs(other.audio).max() == pytest.approx(0.5, rel=1e-3)


def test_seeded_and_never_the_same_voice(clip: Clip) -> None:
    first, again, other = (revoiced(clip, Random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.audio, again.audio)
    assert first.words != other.words
    here, there = (np.median(pitch(c.audio)[0][pitch(c.audio)[1] > 0.8]) for c in (first, other))
    assert abs(np.log(here / there)) > 0.01


def test_timing_keeps_the_order_and_begins_at_zero() -> None:
    old, new = timing((0.1, 0.2, 0.2, 0.5), 0.6, Random(3))
    assert old.tolist() == [0.0, 0.1, 0.2, 0.5, 0.6]
    assert new[0] == 0.0
    assert (np.diff(new) > 0).all()


def test_silence_and_a_very_short_sound_do_no_harm() -> None:
    for audio in (np.zeros(4000, np.float32), hum(120, 0.03)):
        seconds = len(audio) / RATE
        made = revoiced(Clip(audio, "x", "test:a", (Span("x", 0.0, seconds),)), Random(1))
        assert np.isfinite(made.audio).all()
        assert len(made.audio) % _HOP == 0
