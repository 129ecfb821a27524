"""The report of a build: numbers (report.json), the same for people (report.html), and the verdict."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.wake.report_html import page
from builders.wake.scoring import THRESHOLDS, WINDOW, Trials, binomial_interval, poisson_interval
from noctule.wake.features import SAMPLE_RATE, FrontEnd
from noctule.wake.model import WakeModel

if TYPE_CHECKING:  # these import torch and scipy, which looking at a report needs not
    from builders.wake.calibrate import Calibration
    from builders.wake.settings import Settings

#: what the detector may cost (DESIGN §5).
_CPU_MS_PER_SECOND, _HOP_P99_MS = 6.0, 1.0


def measure_cost(path: Path, seconds: float = 20.0) -> dict[str, float]:
    """CPU of features and model on noise: ms per second of audio, and per 10 ms hop (median, 99th percentile).

    Thread CPU time, so that a loaded machine does not change it.
    """
    model, front = WakeModel(path), FrontEnd()
    rng = np.random.default_rng(0)
    hop = SAMPLE_RATE // 100
    pending: list[Any] = []
    spent = []
    for _ in range(int(seconds * 100)):
        chunk = rng.integers(-3000, 3000, hop).astype(np.int16)
        begin = time.thread_time_ns()
        pending.extend(front.push(chunk))
        if len(pending) >= model.stride:
            model.score(np.stack(pending[: model.stride]))
            del pending[: model.stride]
        spent.append((time.thread_time_ns() - begin) / 1e6)
    model.close()
    return {
        "cpu_ms_per_second": round(float(np.sum(spent)) / seconds, 3),
        "hop_ms_median": round(float(np.median(spent)), 4),
        "hop_ms_p99": round(float(np.quantile(spent, 0.99)), 4),
    }


def make_report(
    settings: Settings, facts: dict[str, Any], calibration: Calibration, own: Trials | None, gap: dict[str, float],
    model: bytes, path: Path,
) -> dict[str, Any]:  # fmt: skip
    """Everything worth knowing about the model, as plain data."""
    threshold, streams, trials = calibration.threshold, calibration.streams, calibration.trials
    count = streams.false_accepts(threshold)
    recall = trials.recall(threshold)
    delays = trials.delays(threshold)
    cost = measure_cost(path)
    told: dict[str, Any] = {
        **facts,
        "model": {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest(), **cost},
        "int8_float_gap": {name: round(value, 4) for name, value in gap.items()},
        "calibration": {
            "threshold": threshold,
            "window": WINDOW,
            "hours": round(streams.hours, 2),
            "false_accepts": count,
            "false_accepts_per_hour": round(count / max(streams.hours, 1e-9), 3),
            "false_accepts_per_hour_95": [round(v, 3) for v in poisson_interval(count, max(streams.hours, 1e-9))],
            "phrases": len(trials.best),
            "recall": round(recall, 4),
            "recall_95": [round(v, 4) for v in binomial_interval(recall, len(trials.best))],
            "recall_by_condition": {k: round(v, 4) for k, v in trials.by("condition", threshold).items()},
            "recall_by_voice": {k: round(v, 4) for k, v in trials.by("voice", threshold).items()},
            "delay_seconds": _quantiles(delays),
            "table": calibration.rows(),
        },
        "confusables": sorted(
            (
                {"text": text, "triggered": round(rate, 3)}
                for text, rate in calibration.near.by("text", threshold).items()
            ),
            key=lambda row: (-row["triggered"], row["text"]),
        ),
        "det": _det(calibration),
        "own_voice": _own(own, threshold),
    }
    told["verdict"] = _verdict(settings, told)
    return told


def _quantiles(delays: Any) -> dict[str, float]:
    if not len(delays):
        return {}
    return {"median": round(float(np.median(delays)), 3), "p95": round(float(np.quantile(delays, 0.95)), 3)}


def _det(calibration: Calibration) -> list[dict[str, float]]:
    """Detection error trade-off: missed phrases against false accepts an hour, with 95 % bounds of both."""
    out = []
    trials, hours = len(calibration.trials.best), calibration.streams.hours
    seen: tuple[float, float] | None = None
    for threshold in THRESHOLDS[::3]:
        count = calibration.streams.false_accepts(float(threshold))
        recall = calibration.trials.recall(float(threshold))
        if (count, recall) == seen:
            continue
        seen = (count, recall)
        fa_low, fa_high = poisson_interval(count, max(hours, 1e-9))
        low, high = binomial_interval(recall, max(1, trials))
        out.append({"threshold": round(float(threshold), 3), "fa": count / max(hours, 1e-9), "fa_low": fa_low,
                    "fa_high": fa_high, "miss": 1 - recall, "miss_low": 1 - high, "miss_high": 1 - low})  # fmt: skip
    return [{name: round(value, 4) for name, value in row.items()} for row in out]


def _own(own: Trials | None, threshold: float) -> dict[str, Any] | str:
    if own is None:
        return "synthetic test only"
    return {
        "trials": len(own.best),
        "recall": round(own.recall(threshold), 4),
        "recall_by_condition": {k: round(v, 4) for k, v in own.by("condition", threshold).items()},
    }


def _verdict(settings: Settings, told: dict[str, Any]) -> dict[str, Any]:
    """PASS or FAIL against the target, each check by name."""
    calibration, model = told["calibration"], told["model"]
    clean = calibration["recall_by_condition"].get("clean", 0.0)
    checks = {
        f"false accepts an hour <= {settings.target_fa_per_hour:g}":
            calibration["false_accepts_per_hour"] <= settings.target_fa_per_hour,
        f"clean recall >= {settings.target_recall:g}": clean >= settings.target_recall,
        "at least 5 hours of negatives": calibration["hours"] >= 5.0,
        "model at most 100 kB": model["bytes"] <= 100_000,
        f"CPU <= {_CPU_MS_PER_SECOND:g} ms a second": model["cpu_ms_per_second"] <= _CPU_MS_PER_SECOND,
        f"p99 <= {_HOP_P99_MS:g} ms a hop": model["hop_ms_p99"] <= _HOP_P99_MS,
    }  # fmt: skip
    if isinstance(told["own_voice"], dict):
        checks[f"own voice recall >= {settings.target_recall:g}"] = (
            told["own_voice"]["recall_by_condition"].get("clean", 0.0) >= settings.target_recall
        )
    return {"passed": all(checks.values()), "checks": checks}


def write_report(folder: Path, told: dict[str, Any]) -> None:
    """report.json and report.html."""
    (folder / "report.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page(told), encoding="utf-8")
