"""The soak's verdict on slopes that are known, and its samples of a process that is known: this one."""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import threading

import pytest

from tools.soak.main import Sample, late_threads, trends
from tools.soak.verdict import FLAT, GROWING, UNCLEAR, trend
from tools.soak.watch import Holding, children, cpu_seconds, holding, thread_names

HOURS = [i / 240 for i in range(240)]


def noisy(slope: float, spread: float, seed: int = 3) -> list[float]:
    rng = random.Random(seed)
    return [80 + slope * hour + rng.gauss(0, spread) for hour in HOURS]


def test_a_leak_is_seen_through_noise_and_outliers() -> None:
    values = noisy(3.0, 0.5)
    for at in range(0, 240, 12):
        values[at] += 40  # a picture being encoded
    found = trend(HOURS, values, 1.0)
    assert found.verdict == GROWING
    assert found.slope == pytest.approx(3.0, abs=0.4)
    assert found.low < found.slope < found.high


def test_a_steady_process_is_flat_whatever_its_spikes() -> None:
    assert trend(HOURS, noisy(0.0, 0.5), 1.0).verdict == FLAT
    spiky = [20.0 + (3 if i % 7 == 0 else 0) for i in range(240)]
    assert trend(HOURS, spiky, 0.5) == trend(HOURS, spiky, 0.5)
    assert trend(HOURS, spiky, 0.5).slope == 0
    assert trend(HOURS, spiky, 0.5).verdict == FLAT
    assert trend(HOURS, noisy(-5.0, 0.5), 1.0).verdict == FLAT, "what shrinks does not leak"


def test_what_cannot_be_told_is_not_told() -> None:
    few = [i / 60 for i in range(6)]
    assert trend(few, [80.0, 83.0, 79.0, 84.0, 80.0, 82.0], 1.0).verdict == UNCLEAR
    with pytest.raises(ValueError, match="four samples"):
        trend([0.0, 1.0], [1.0, 1.0], 1.0)


def test_the_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    hours = [i / 40 for i in range(40)]
    hits = 0
    for seed in range(120):
        rng = random.Random(seed)
        found = trend(hours, [2.0 * hour + rng.gauss(0, 1) for hour in hours], 1.0)
        hits += found.low <= 2.0 <= found.high
    assert 106 <= hits <= 120, hits  # 95 % of 120 is 114; three standard deviations are 7


def test_a_process_is_sampled() -> None:
    before = holding(os.getpid())
    ours, theirs = os.pipe()
    waiting, done = threading.Event(), threading.Event()

    def run() -> None:
        waiting.set()
        done.wait(10)

    thread = threading.Thread(target=run)
    thread.start()
    waiting.wait(10)
    block = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # not what a heap had to spare
    block.write(os.urandom(8 << 20))
    child = subprocess.Popen(["sleep", "60"])
    try:
        after = holding(os.getpid())
        assert after.fds == before.fds + 2
        assert after.threads == before.threads + 1
        assert after.heap - before.heap > 7 << 20
        assert 0 < after.pss <= after.rss
        assert child.pid in children(os.getpid())
        assert cpu_seconds(os.getpid()) > 0
        with pytest.raises(OSError, match="No such file"):
            holding(2**22 + 1)
    finally:
        child.kill()
        child.wait()
        done.set()
        thread.join()
        os.close(ours)
        os.close(theirs)
        assert len(block) == 8 << 20


MIB = 1 << 20


def hour(heap_a_minute: float = 0.0, thread_every: float = 0.0) -> list[Sample]:
    """An hour of a daemon with 80 MiB and ten threads, caches that fill for six minutes, and the leaks given."""
    samples, rng = [], random.Random(5)
    for i in range(240):
        minutes = i / 4
        heap = 80 + min(minutes, 6) + heap_a_minute * minutes + rng.gauss(0, 0.3)
        threads = dict.fromkeys(range(10), "service_0")
        if thread_every:
            threads |= {100 + number: "leaky" for number in range(int(minutes / thread_every))}
        own = Holding(1, int((heap + 40) * MIB), int(heap * MIB), int((heap + 80) * MIB), 30, len(threads))
        samples.append(Sample(minutes / 60, own, [], 0.0, {}, threads))
    return samples


def test_caches_that_fill_during_the_warm_up_are_no_leak() -> None:
    assert {name: one.verdict for name, one in trends(hour()).items() if one.verdict != FLAT} == {}
    assert late_threads(hour()).endswith(": none.")


def test_an_invented_leak_is_found_and_its_threads_are_named() -> None:
    memory = trends(hour(heap_a_minute=0.05))  # 3 MiB an hour
    assert memory["daemon heap, MiB"].verdict == memory["daemon PSS, MiB"].verdict == GROWING
    assert memory["daemon threads"].verdict == FLAT
    leaky = hour(thread_every=15.0)  # four an hour
    assert trends(leaky)["daemon threads"].verdict == GROWING
    assert trends(leaky)["daemon heap, MiB"].verdict == FLAT
    assert late_threads(leaky).endswith(": 3 × leaky."), "the fourth would begin after the last sample"


def test_threads_are_named() -> None:
    assert os.getpid() in thread_names(os.getpid())
    with pytest.raises(OSError, match="No such file"):
        thread_names(2**22 + 1)
