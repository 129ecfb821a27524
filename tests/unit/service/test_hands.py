"""Pools whose threads are all there from the start."""

from __future__ import annotations

import threading

import pytest

from noctule.service.thread_pool import thread_pool


def named(prefix: str) -> list[str]:
    return sorted(t.name for t in threading.enumerate() if t.name.startswith(prefix))


def test_all_threads_run_from_the_start_and_no_more_come():
    pool = thread_pool(3, "porter")
    try:
        assert named("porter") == ["porter_0", "porter_1", "porter_2"]
        assert sorted(pool.map(lambda x: x * x, range(50))) == sorted(x * x for x in range(50))
        assert len(named("porter")) == 3
    finally:
        pool.shutdown()
    assert not named("porter")


def test_threads_that_cannot_be_started_are_said_and_none_is_left(monkeypatch):
    start, started = threading.Thread.start, []

    def limited(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="3 threads for 'carrier'"):
        thread_pool(3, "carrier")
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()
