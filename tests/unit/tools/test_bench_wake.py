"""scripts/bench wake: the sound that is spoken to the daemon, which hop decides, and the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("flatbuffers")

from wakeword_models import write_loud

from builders.common.pool import save_arrays
from builders.wake import scoring
from builders.wake.acceptance import Verdict
from noctule.wake.package import load_package
from tools.bench import wake, wake_delay

HOP = wake_delay.HOP


def bank(path: Path, level: int, clips: int = 3) -> Path:
    sound = np.random.default_rng(level).integers(-level, level, clips * 8000).astype(np.int16)
    offsets = np.arange(clips + 1) * 8000
    save_arrays(path, {"audio": sound, "offsets": offsets, "voice": np.array(["v"] * clips),
                       "text": np.array(["t"] * clips)})  # fmt: skip
    return path


def test_phrases_come_in_whole_hops_with_pauses_that_outlast_the_refractory_time(tmp_path: Path) -> None:
    spoken = wake_delay.phrases([bank(tmp_path / "a.npz", 9000), bank(tmp_path / "b.npz", 500)], 5)
    assert spoken.dtype == np.int16
    assert len(spoken) % HOP == 0
    loud = np.abs(spoken) > 1000
    starts = np.flatnonzero(np.diff(loud.astype(int)) == 1)
    gaps = np.diff(starts)
    starts = starts[np.r_[True, gaps > 16_000]]
    assert len(starts) == 5, "both voices are as loud as each other"
    assert starts[0] >= 3 * 16_000 - 1
    assert np.diff(starts).min() > 8000 + 2 * 16_000


def test_the_deciding_hop_is_where_the_detector_reports(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path))
    spoken = wake_delay.phrases([bank(tmp_path / "a.npz", 9000)], 2)
    found = wake_delay.deciding_hops(package, spoken)
    assert found
    for hop, score in found:
        assert np.abs(spoken[(hop - 60) * HOP : (hop + 1) * HOP]).max() > 300, "within a phrase or just after it"
        assert score > package.threshold


def test_a_delay_is_told_in_milliseconds() -> None:
    told = wake_delay.Delay(np.arange(1.0, 101.0), np.full(100, 7.0)).summary()
    assert told["events"] == 100
    assert told["event_ms_median"] == 50.5
    assert 99 <= told["event_ms_p99"] <= told["event_ms_max"] == 100
    assert told["received_ms_p99"] == 7


def test_the_summary_is_of_one_threshold(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path))
    label = np.array(["clean"])
    heard = scoring.Trials(np.array([0.9]), label, label, label, (), np.zeros(1))
    near = scoring.Trials(np.array([0.5]), label, label, label, (), np.zeros(1))
    time = np.arange(0.05, 60.0, 0.03)
    streams = scoring.Streams((scoring.Scores(time, np.full_like(time, 0.4)),), 2.0)
    verdict = Verdict(package, 0.3, heard, near, streams)
    assert wake.summary(verdict, 0.45, {"cpu": 1.0}) == {
        "mean_recall": 1.0, "clean": 1.0, "near_miss": 1.0, "false_accepts": 0.0, "cpu": 1.0,
    }  # fmt: skip
    assert wake.summary(verdict, 0.6, {})["near_miss"] == 0.0
    assert wake.summary(verdict, 0.3, {})["false_accepts"] > 0.5


def test_what_was_not_measured_is_neither_passed_nor_failed() -> None:
    lines, passed = wake.verdict_lines({"event_ms_p99": 3.0})
    assert passed
    assert sum(line.startswith("PASS") for line in lines) == 1
    assert sum("not measured" in line for line in lines) == len(wake.BARS) - 1
    assert wake.verdict_lines({"event_ms_p99": 11.0})[1] is False
