"""Counting: false accepts, recall, intervals, thresholds; and packages written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from wakeword_models import bursts, loud_model, write_loud

from builders.wake import scoring
from builders.wake.packaging import manifest, write_package
from builders.wake.report import measure_cost
from builders.wake.report_html import page
from noctule.core.errors import ModelError
from noctule.wake.detector import Detector
from noctule.wake.features import extract
from noctule.wake.model import WakeModel
from noctule.wake.package import load_package


def stream(*peaks: float, seconds: float = 60.0) -> scoring.Scores:
    time = np.arange(0.05, seconds, 0.03)
    mean = np.zeros_like(time)
    for peak in peaks:
        mean[(time >= peak) & (time < peak + 0.2)] = 0.8
    return scoring.Scores(time, mean)


def test_false_accepts_know_warm_up_and_refractory() -> None:
    streams = scoring.Streams((stream(1.0, 10.0, 11.0, 20.0), stream(30.0)), 0.5)
    assert streams.false_accepts(0.5) == 3
    assert streams.false_accepts(0.9) == 0
    assert streams.curve()[0] == 6.0


def test_threshold_is_the_lowest_that_keeps_the_rate() -> None:
    streams = scoring.Streams((stream(10.0, 20.0),), 1.0)
    assert scoring.threshold_for(streams, 2.0) == scoring.THRESHOLDS[0]
    chosen = scoring.threshold_for(streams, 0.5)
    assert 0.799 <= chosen <= 0.81
    assert streams.false_accepts(chosen) == 0


def test_a_sure_threshold_leaves_room_for_luck() -> None:
    pytest.importorskip("scipy")
    peaks = stream(10.0, 20.0)
    long = scoring.Streams((peaks,), 10.0)
    assert scoring.sure_threshold(long, 0.5) == scoring.THRESHOLDS[0], "4.28 of 5 events are sure at two"
    assert scoring.sure_threshold(long, 0.4) > scoring.THRESHOLDS[0], "but not of 4"
    short = scoring.Streams((peaks,), 0.1)
    assert short.false_accepts(scoring.sure_threshold(short, 0.5)) == 0


def test_offline_scores_equal_the_detector_s(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path))
    sound = bursts(5.0, (3.0,))
    traced: list[tuple[float, float]] = []
    Detector([package], trace=lambda _word, time, mean: traced.append((time, mean))).push(sound)
    found = scoring.score(WakeModel(package.model), extract(sound), package.window)
    assert found.time == pytest.approx([time for time, _ in traced])
    assert found.mean == pytest.approx([mean for _, mean in traced])


def test_trials_look_only_near_the_phrase(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path))
    sound = bursts(6.0, (3.0,))
    features = extract(sound)
    for name, begin in (("hit", 3.0), ("miss", 4.8)):
        np.savez(
            tmp_path / f"{name}.npz", features=features, offsets=[0, len(features)], begin=[begin],
            end=[begin + 0.6], condition=["clean"], voice=[name], text=["x"],
        )  # fmt: skip
    files = [tmp_path / "hit.npz", tmp_path / "miss.npz"]
    trials = scoring.score_trials(WakeModel(package.model), 5, files, "test")
    assert trials.by("voice", 0.5) == {"hit": 1.0, "miss": 0.0}
    assert trials.recall(0.5) == 0.5
    assert -0.6 < trials.delays(0.5)[0] < 0.3


def test_intervals_bracket_and_match_known_values() -> None:
    pytest.importorskip("scipy")
    low, high = scoring.poisson_interval(0, 6.0)
    assert low == 0.0
    assert high == pytest.approx(3.689 / 6.0, abs=1e-3)
    low, high = scoring.poisson_interval(5, 1.0)
    assert (low, high) == pytest.approx((1.623, 11.668), abs=1e-3)
    assert scoring.binomial_interval(1.0, 100) == pytest.approx((0.963, 1.0), abs=1e-3)


def test_a_package_is_written_whole(tmp_path: Path) -> None:
    data = loud_model()
    told = manifest("loud", "loud", "en", data, 0.5, 5, "Apache-2.0", "cmd", {"engines": {"espeak": 3}})
    out = tmp_path / "models" / "loud"
    for _ in range(2):  # a second build replaces the first
        write_package(out, told, data, "text\n", lambda folder: (folder / "report.json").write_text("{}") and None)
        assert sorted(item.name for item in out.iterdir()) == [
            "LICENSE",
            "loud.tflite",
            "manifest.json",
            "report.json",
        ]
        assert [item.name for item in out.parent.iterdir()] == ["loud"]
    assert load_package(out).extra["engines"] == {"espeak": 3}


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    data = loud_model()
    told = manifest("loud", "loud", "en", data, 0.5, 5, "Apache-2.0", "cmd", {})

    def interrupted(_folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_package(tmp_path / "loud", told, data, "", interrupted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"\0" * 100_001])
def test_what_is_no_model_is_never_written(tmp_path: Path, data: bytes) -> None:
    told = manifest("loud", "loud", "en", data, 0.5, 5, "Apache-2.0", "cmd", {})
    with pytest.raises(ModelError):
        write_package(tmp_path / "loud", told, data, "")
    assert list(tmp_path.iterdir()) == []


def test_cost_is_measured_and_small(tmp_path: Path) -> None:
    cost = measure_cost(write_loud(tmp_path) / "loud.tflite", 1.0)
    assert 0 < cost["hop_ms_median"] <= cost["hop_ms_p99"]


def test_the_report_page_escapes_and_draws() -> None:
    told = {
        "phrase": "a <b>", "warnings": ["short & bad"], "calibration_note": "", "calibrated_on": ["festival:x"],
        "verdict": {"passed": False, "checks": {"clean": False}},
        "calibration": {
            "threshold": 0.5, "window": 5, "hours": 5.0, "false_accepts": 1, "false_accepts_per_hour": 0.2,
            "false_accepts_per_hour_95": [0.0, 1.0], "phrases": 10, "recall": 0.9, "delay_seconds": {},
            "table": [], "recall_by_condition": {"clean": 0.9}, "recall_by_voice": {"v": 0.9},
        },
        "det": [{"fa": 0.1, "miss": 0.2, "miss_low": 0.1, "miss_high": 0.3, "fa_low": 0.05, "fa_high": 0.4}],
        "confusables": [{"text": "a bee", "triggered": 0.5}], "own_voice": "synthetic test only",
        "model": {"bytes": 9, "sha256": "00", "cpu_ms_per_second": 1.0, "hop_ms_median": 0.1, "hop_ms_p99": 0.2},
        "int8_float_gap": {"mean": 0.0, "p99": 0.0, "max": 0.0}, "phonemes": [["a"]], "engines": {"espeak": 1},
        "counts": {"scenes": {"phrase": 1}}, "tools": {"numpy": "2"}, "seed": 1, "build_seconds": 2, "cpu_seconds": 3,
    }  # fmt: skip
    text = page(told)
    assert "a &lt;b&gt;" in text
    assert "<b>”" not in text
    assert "short &amp; bad" in text
    assert "synthetic test only" in text
    assert "<polyline" in text
    assert "FAIL" in text
    assert json.dumps(told)
