"""Stage `calibrate`: the threshold, from an engine that training never heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noctule.wake.model import WakeModel

from .data_stages import Folders, Phrase
from .scoring import THRESHOLDS, WINDOW, Streams, Trials, score_streams, score_trials, sure_threshold
from .settings import Plan, Settings
from .testdata import TestAudio, TestPlan, make_test_audio


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
    near = [text for text, _ in phrase.ranked]
    made = TestPlan(folders.own, folders.common, "calibrate", voices, "calibrate", amounts.negative_hours, per_voice,
                    settings.seed + 900, varied=True, reuse=3)  # fmt: skip
    return make_test_audio(made, phrase, near, settings.jobs)


def calibrate(settings: Settings, model: WakeModel, audio: TestAudio) -> Calibration:
    """Score the int8 model on the calibration audio and choose the threshold."""
    streams = score_streams(model, WINDOW, audio.streams, "calibrate")
    trials = score_trials(model, WINDOW, audio.trials, "phrases")
    near = score_trials(model, WINDOW, audio.near, "near")
    return Calibration(sure_threshold(streams, settings.target_fa_per_hour), trials, near, streams)
