"""Runs packages over prepared features and counts: scores, missed phrases, false accepts.

The model runs through the daemon's own `WakeModel`, int8, so what is measured is what the board does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.common.progress import Progress
from noctule.wake.model import WakeModel
from noctule.wake.package import REFRACTORY_SECONDS, WARM_UP_SECONDS

#: scores that our packages average; microWakeWord's own value.
WINDOW = 5
#: an utterance counts as heard from its begin to this long after its end (s).
GRACE = 1.0
#: thresholds that tables and curves use; uint8 means have steps of 1/1280.
THRESHOLDS: NDArray[np.float64] = np.round(np.arange(0.02, 0.9961, 0.004), 3)


@dataclass(frozen=True)
class Scores:
    """Mean scores of one clip: `mean` [steps], each at `time` [steps] seconds; warm-up included."""

    time: NDArray[np.float64]
    mean: NDArray[np.float64]


def score(model: WakeModel, features: NDArray[np.int8], window: int) -> Scores:
    """Scores of a clip from a reset model, int8 features [frames, 40]."""
    model.reset()
    stride = model.stride
    raw = np.array([model.score(features[at : at + stride]) for at in range(0, len(features) - stride + 1, stride)])
    means = np.convolve(raw, np.ones(window) / window)[: len(raw)] if len(raw) else raw
    means[: window - 1] = 0.0
    time = 0.03 + 0.01 * (stride * np.arange(1, len(raw) + 1) - 1)
    return Scores(time, means)


@dataclass(frozen=True)
class Trials:
    """Best score of every phrase trial within its window, with its labels, and when it was reached."""

    best: NDArray[np.float64]
    condition: NDArray[np.str_]
    voice: NDArray[np.str_]
    text: NDArray[np.str_]
    scores: tuple[Scores, ...]
    end: NDArray[np.float64]

    def recall(self, threshold: float, condition: str | None = None) -> float:
        chosen = self.best if condition is None else self.best[self.condition == condition]
        return float(np.mean(chosen > threshold)) if len(chosen) else float("nan")

    def by(self, label: str, threshold: float) -> dict[str, float]:
        """Recall by condition, voice or text, in order of first appearance."""
        labels: NDArray[np.str_] = getattr(self, label)
        return {str(name): float(np.mean(self.best[labels == name] > threshold)) for name in dict.fromkeys(labels)}

    def delays(self, threshold: float, condition: str = "clean") -> NDArray[np.float64]:
        """Seconds from the end of the phrase to the first score above the threshold, where it was heard."""
        out = []
        for scores, end, name, best in zip(self.scores, self.end, self.condition, self.best, strict=True):
            if name == condition and best > threshold:
                hit = scores.time[(scores.mean > threshold) & (scores.time >= WARM_UP_SECONDS)]
                out.append(float(hit[0] - end))
        return np.array(out)


def score_trials(model: WakeModel, window: int, files: Sequence[Path], title: str) -> Trials:
    """Run the model over trial files made by `trials.make_trials`."""
    best, conditions, voices, texts, ends, kept = [], [], [], [], [], []
    progress = Progress(title, len(files))
    for number, file in enumerate(files):
        part = dict(np.load(file))
        for index in range(len(part["end"])):
            scores = score(model, part["features"][part["offsets"][index] : part["offsets"][index + 1]], window)
            inside = (scores.time >= part["begin"][index]) & (scores.time <= part["end"][index] + GRACE)
            best.append(float(scores.mean[inside].max(initial=0.0)))
            kept.append(scores)
        conditions.append(part["condition"])
        voices.append(part["voice"])
        texts.append(part["text"])
        ends.append(part["end"])
        progress.step(number + 1)
    progress.done(f"{len(best)} trials")
    return Trials(np.array(best), np.concatenate(conditions), np.concatenate(voices), np.concatenate(texts),
                  tuple(kept), np.concatenate(ends))  # fmt: skip


@dataclass(frozen=True)
class Streams:
    """Scores of streams without the phrase."""

    scores: tuple[Scores, ...]
    hours: float

    def false_accepts(self, threshold: float) -> int:
        """Events: after one the detector is deaf for the refractory time; warm-up cannot trigger."""
        count = 0
        for scores in self.scores:
            deaf_until = WARM_UP_SECONDS
            for time in scores.time[scores.mean > threshold]:
                if time >= deaf_until:
                    count += 1
                    deaf_until = time + REFRACTORY_SECONDS
        return count

    def curve(self) -> NDArray[np.float64]:
        """False accepts an hour at every one of `THRESHOLDS`."""
        return np.array([self.false_accepts(t) for t in THRESHOLDS]) / max(self.hours, 1e-9)


def score_streams(model: WakeModel, window: int, files: Sequence[Path], title: str) -> Streams:
    """Run the model over stream files made by `trials.make_stream`."""
    out = []
    frames = 0
    progress = Progress(title, len(files))
    for number, file in enumerate(files):
        features = np.load(file)["features"]
        out.append(score(model, features, window))
        frames += len(features)
        progress.step(number + 1)
    progress.done(f"{frames / 360_000:.1f} h")
    return Streams(tuple(out), frames / 360_000)


def threshold_for(streams: Streams, fa_per_hour: float) -> float:
    """The lowest threshold of the table with at most this rate; the highest of the table when none has."""
    fitting = THRESHOLDS[streams.curve() <= fa_per_hour]
    return float(fitting[0]) if len(fitting) else float(THRESHOLDS[-1])


def sure_threshold(streams: Streams, fa_per_hour: float, confidence: float = 0.8) -> float:
    """The lowest threshold whose rate is at most this with `confidence`: so few events are a rate known only roughly.

    Where the streams are too short for any count to be sure, one without a false accept.
    """
    from scipy.stats import chi2

    allowed = 0
    while float(chi2.ppf(confidence, 2 * allowed + 4)) / 2 <= fa_per_hour * streams.hours:
        allowed += 1
    return threshold_for(streams, (allowed + 0.5) / max(streams.hours, 1e-9))


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """95 % confidence interval (Garwood) of a rate an hour, from `count` events in `hours`."""
    from scipy.stats import chi2

    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return low / hours, float(chi2.ppf(0.975, 2 * count + 2)) / 2 / hours


def binomial_interval(hits: float, trials: int) -> tuple[float, float]:
    """95 % Wilson interval of a share `hits` (0 … 1) of `trials`."""
    z = 1.96
    middle = (hits + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * float(np.sqrt(hits * (1 - hits) / trials + z * z / (4 * trials * trials)))
    return max(0.0, middle - half), min(1.0, middle + half)
