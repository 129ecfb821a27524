"""The resampler: accuracy, alias rejection, exact lengths, and independence of how a stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.audio.resample import Resampler
from noctule.core.errors import InputError

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]


def convert(x: np.ndarray, source: int, target: int = 24_000) -> np.ndarray:
    r = Resampler(source, target)
    return np.concatenate([r.push(x), r.finish()])


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_phase_and_level(rate):
    n = rate // 2
    frequency = 0.35 * min(rate, 24_000)
    x = np.sin(2 * np.pi * frequency * np.arange(n) / rate).astype(np.float32)
    y = convert(x, rate)
    assert len(y) == -(-n * 24_000 // rate)
    want = np.sin(2 * np.pi * frequency * np.arange(len(y)) / 24_000)
    middle = slice(len(y) // 5, -len(y) // 5)
    assert np.abs(y - want)[middle].max() < 2e-4


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000, 96_000])
def test_what_lies_above_the_new_nyquist_is_gone(rate):
    x = np.sin(2 * np.pi * 13_000 * np.arange(rate) / rate).astype(np.float32)
    y = convert(x, rate)[2_000:-2_000]
    assert 20 * np.log10(np.abs(y).max() + 1e-12) < -80


def test_a_constant_stays_itself():
    y = convert(np.full(48_000, 0.5, np.float32), 44_100)
    np.testing.assert_allclose(y[500:-500], 0.5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(RATES), st.lists(st.integers(0, 900), min_size=1, max_size=12), st.integers(0, 2**31))
def test_the_cut_does_not_matter(rate, sizes, seed):
    x = np.random.default_rng(seed).standard_normal(sum(sizes)).astype(np.float32)
    whole = convert(x, rate)
    r = Resampler(rate, 24_000)
    parts = [r.push(p) for p in np.split(x, np.cumsum(sizes)[:-1])] + [r.finish()]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert len(whole) == -(-len(x) * 24_000 // rate)


def test_it_answers_early_and_resets():
    r = Resampler(48_000, 24_000)
    x = np.random.default_rng(0).standard_normal(4_800).astype(np.float32)
    first = np.concatenate([r.push(x), r.finish()])
    assert len(r.push(x)) > 2_300  # only the filter's reach is held back
    r.reset()
    np.testing.assert_array_equal(np.concatenate([r.push(x), r.finish()]), first)


@pytest.mark.parametrize("rate", [0, -1, 100, 10**7])
def test_absurd_rates_are_refused(rate):
    with pytest.raises(InputError, match="cannot be converted"):
        Resampler(rate, 24_000)
