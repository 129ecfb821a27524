"""The threshold: above the false accepts of everyday speech, and raised to refuse near phrases."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from builders.wake import calibrate, scoring


def trials(best: list[float]) -> scoring.Trials:
    labels = np.array(["x"] * len(best))
    return scoring.Trials(np.array(best), labels, labels, labels, (), np.zeros(len(best)))


def test_a_threshold_is_raised_until_near_phrases_are_refused() -> None:
    heard, near = trials([0.95] * 50), trials([0.6, 0.6, 0.6, 0.9, 0.1])
    chosen = calibrate.refusing_threshold(heard, near, 0.3)
    assert 0.6 <= chosen < 0.61
    assert calibrate.refusing_threshold(heard, near, 0.8) == pytest.approx(0.8, abs=0.004), "never lowered"
    assert calibrate.refusing_threshold(heard, trials([]), 0.3) == pytest.approx(0.3, abs=0.004)


def test_a_threshold_is_not_raised_at_the_cost_of_hearing() -> None:
    heard, near = trials([*np.linspace(0.4, 0.9, 101)]), trials([0.95] * 5)
    chosen = calibrate.refusing_threshold(heard, near, 0.3)
    assert heard.recall(chosen) >= 1 - calibrate.RECALL_SPENT > heard.recall(chosen + 0.008)


def test_being_sure_of_the_rate_does_not_make_it_deaf() -> None:
    heard = trials([*np.linspace(0.5, 0.9, 101)])
    assert calibrate.raised(trials([0.95] * 9), 0.6, 0.9) == pytest.approx(0.9, abs=0.004), "it costs nothing"
    one_odd_event = calibrate.raised(heard, 0.6, 0.97)
    assert heard.recall(0.6) - heard.recall(one_odd_event) <= calibrate.SURE_SPENT
    assert heard.recall(0.6) - heard.recall(one_odd_event + 0.008) > calibrate.SURE_SPENT
    assert calibrate.raised(heard, 0.6, 0.6) == pytest.approx(0.6, abs=0.004)
