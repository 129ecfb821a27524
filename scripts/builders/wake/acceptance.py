"""The acceptance test: packages side by side on the same generated audio from voices that nobody trained on.

Voices: flite slt and kal, festival ked and slt_hts, those of them that are installed. Mean recall is over the nine
conditions of `trials.CONDITIONS` at the lowest threshold with at most 0.5 false accepts an hour of the negative
streams (the threshold is chosen on the test streams, for every package alike, as in FACTS §5); recall at the
package's own threshold stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builders.sound.engines import find_voices
from builders.wake.data_stages import Phrase, study
from builders.wake.near_misses import NEAR_MISSES
from builders.wake.scoring import Streams, Trials, poisson_interval, score_streams, score_trials, threshold_for
from builders.wake.settings import RESERVED, Settings
from builders.wake.testdata import TestAudio, TestPlan, make_test_audio, say_phrases
from noctule.core.errors import UnavailableError
from noctule.wake.model import WakeModel
from noctule.wake.package import WakePackage

FA_PER_HOUR = 0.5


@dataclass(frozen=True)
class Verdict:
    """One package's result."""

    package: WakePackage
    #: threshold chosen on the streams at `FA_PER_HOUR`, and what it gives.
    threshold: float
    trials: Trials
    near: Trials
    streams: Streams

    def mean_recall(self, threshold: float) -> float:
        return float(np.mean(list(self.trials.by("condition", threshold).values())))

    def table(self) -> dict[str, object]:
        """Everything measured, ready for JSON."""
        out: dict[str, object] = {"package": self.package.id, "hours": round(self.streams.hours, 2)}
        for name, threshold in (("test_threshold", self.threshold), ("own_threshold", self.package.threshold)):
            count = self.streams.false_accepts(threshold)
            out[name] = {
                "threshold": round(threshold, 4),
                "mean_recall": round(self.mean_recall(threshold), 4),
                "recall": {k: round(v, 4) for k, v in self.trials.by("condition", threshold).items()},
                "recall_by_voice": {k: round(v, 4) for k, v in self.trials.by("voice", threshold).items()},
                "near_miss": round(self.near.recall(threshold), 4),
                "near_miss_by_text": {k: round(v, 2) for k, v in self.near.by("text", threshold).items()},
                "false_accepts": count,
                "false_accepts_per_hour": round(count / self.streams.hours, 3),
                "false_accepts_per_hour_95": [round(v, 3) for v in poisson_interval(count, self.streams.hours)],
            }
        return out


def acceptance_audio(phrase: str, folder: Path, hours: float, clips: int, jobs: int, seed: int = 77) -> TestAudio:
    """The audio, made once per folder."""
    plan, studied = _plan(phrase, folder, hours, clips, seed)
    near = NEAR_MISSES.get(phrase, tuple(text for text, _ in studied.ranked[:20]))
    return make_test_audio(plan, studied, near, jobs)


def acceptance_phrases(phrase: str, folder: Path, clips: int, jobs: int, seed: int = 77) -> list[Path]:
    """Only the banks of the phrase, one a voice; the same that `acceptance_audio` makes."""
    plan, studied = _plan(phrase, folder, 1.0, clips, seed)
    return say_phrases(plan, studied, jobs)


def _plan(phrase: str, folder: Path, hours: float, clips: int, seed: int) -> tuple[TestPlan, Phrase]:
    voices = tuple(name for name in find_voices("en").all() if name in RESERVED)
    if not voices:
        raise UnavailableError(
            "none of the acceptance voices is installed",
            "apt install flite festival festvox-kdlpc16k festvox-us-slt-hts",
        )
    settings = Settings(phrase, folder, folder)
    own, common = folder / settings.slug, folder / "common"
    for place in (own, common):
        place.mkdir(parents=True, exist_ok=True)
    return TestPlan(own, common, "accept", voices, "accept", hours, clips, seed), study(settings)


def judge(packages: Sequence[WakePackage], audio: TestAudio) -> list[Verdict]:
    """Score every package on the same audio."""
    out = []
    for package in packages:
        model = WakeModel(package.model)
        streams = score_streams(model, package.window, audio.streams, f"{package.id} streams")
        trials = score_trials(model, package.window, audio.trials, f"{package.id} phrase")
        near = score_trials(model, package.window, audio.near, f"{package.id} near")
        model.close()
        out.append(Verdict(package, threshold_for(streams, FA_PER_HOUR), trials, near, streams))
    return out
