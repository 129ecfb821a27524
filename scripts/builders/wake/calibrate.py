"""Stage `calibrate`: the threshold, from an engine that training never heard.

The lowest threshold with few enough false accepts rests on a handful of events, so it is raised until the rate is
surely low enough. Everyday speech alone is easy to refuse: that threshold also lets most near phrases through, so it
is raised further until seven near phrases in ten are refused. Neither may cost much recall: one odd second in five
hours must not make a wake word deaf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builders.wake.data_stages import Folders, Phrase
from builders.wake.scoring import (
    THRESHOLDS,
    WINDOW,
    Streams,
    Trials,
    score_streams,
    score_trials,
    sure_threshold,
    threshold_for,
)
from builders.wake.settings import Plan, Settings
from builders.wake.testdata import TestAudio, TestPlan, make_test_audio
from noctule.wake.model import WakeModel

#: mean recall (all conditions) that being sure of the rate may cost.
SURE_SPENT = 0.15
#: share of near phrases that may wake it, and mean recall that refusing the others may cost.
NEAR_SHARE, RECALL_SPENT = 0.3, 0.06


@dataclass(frozen=True)
class Calibration:
    """The chosen threshold and everything it was chosen from."""

    threshold: float
    trials: Trials
    near: Trials
    streams: Streams

    def rows(self) -> list[dict[str, float]]:
        """Threshold table: false accepts an hour and a day, share of phrases missed."""
        rates = self.streams.curve()
        wanted = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1)
        thresholds = sorted({float(THRESHOLDS[rates <= rate][0]) for rate in wanted if (rates <= rate).any()})
        if not thresholds:
            thresholds = [self.threshold]
        return [
            {
                "threshold": threshold,
                "false_accepts_per_hour": round(float(rates[np.searchsorted(THRESHOLDS, threshold)]), 3),
                "false_accepts_per_day": round(24 * float(rates[np.searchsorted(THRESHOLDS, threshold)]), 1),
                "missed": round(1 - self.trials.recall(threshold), 4),
                "missed_clean": round(1 - self.trials.recall(threshold, "clean"), 4),
            }
            for threshold in thresholds
        ]


def make_calibration_audio(settings: Settings, plan: Plan, phrase: Phrase, folders: Folders) -> TestAudio:
    """Trials and at least five hours of streams spoken by the held-out voices."""
    amounts = settings.amounts
    voices = plan.calibrate[:: max(1, len(plan.calibrate) // 12)][:12]
    per_voice = max(1, amounts.phrase_trials // len(voices))
    made = TestPlan(folders.own, folders.common, "calibrate", voices, "calibrate", amounts.negative_hours, per_voice,
                    settings.seed + 900, varied=True, reuse=3)  # fmt: skip
    return make_test_audio(made, phrase, phrase.near, settings.jobs)


def calibrate(settings: Settings, model: WakeModel, audio: TestAudio) -> Calibration:
    """Score the int8 model on the calibration audio and choose the threshold."""
    streams = score_streams(model, WINDOW, audio.streams, "calibrate")
    trials = score_trials(model, WINDOW, audio.trials, "phrases")
    near = score_trials(model, WINDOW, audio.near, "near")
    least = raised(
        trials,
        threshold_for(streams, settings.target_fa_per_hour),
        sure_threshold(streams, settings.target_fa_per_hour),
    )
    return Calibration(refusing_threshold(trials, near, least), trials, near, streams)


def raised(trials: Trials, least: float, wanted: float) -> float:
    """The highest threshold from `least` to `wanted` that costs at most `SURE_SPENT` of the recall at `least`."""
    recall = trials.recall(least)
    table = (float(threshold) for threshold in THRESHOLDS if least <= threshold <= wanted)
    return max((threshold for threshold in table if trials.recall(threshold) >= recall - SURE_SPENT), default=least)


def refusing_threshold(trials: Trials, near: Trials, least: float) -> float:
    """The lowest threshold from `least` on that lets at most `NEAR_SHARE` of near phrases through.

    Where that costs more than `RECALL_SPENT` of the recall at `least`, the highest threshold that does not.
    """
    recall = trials.recall(least)
    chosen = least
    for threshold in THRESHOLDS[np.searchsorted(THRESHOLDS, least) :]:
        if trials.recall(threshold) < recall - RECALL_SPENT:
            break
        chosen = float(threshold)
        if not len(near.best) or near.recall(threshold) <= NEAR_SHARE:
            break
    return chosen
