"""The worker that writes clips: in order, bounded, and nothing that waits is lost when the service stops."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from noctule.audio.chunk import RATE
from noctule.core.clock import SystemClock
from noctule.core.errors import InputError
from noctule.core.events import Bus
from noctule.service.part import Part
from noctule.voice.wakewords.clip_folder import WakeClips
from noctule.voice.wakewords.clip_writer import WAITING, ClipKeeper, Detected


def heard(second: int) -> Detected:
    return Detected("hey", 0.9, np.full(RATE // 10, second, np.int16), 1_700_000_000.0 + second)


def test_what_waits_is_written_before_the_end_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    bus = Bus()
    events = bus.subscribe()
    keeper = ClipKeeper(WakeClips(tmp_path / "clips", 8, 30), bus)
    accepted = [keeper.put(heard(second)) for second in range(WAITING + 2)]
    assert accepted == [True] * WAITING + [False, False]
    assert keeper.dropped == 2
    stop = threading.Event()
    stop.set()
    keeper.run(Part("clips", 30, SystemClock()), stop)
    kept = sorted((tmp_path / "clips").glob("*.wav"))
    assert len(kept) == WAITING
    assert [event.fields["file"] for event in events.drain()] == [str(path) for path in kept]


def test_a_disk_that_refuses_is_told_and_the_worker_goes_on(tmp_path: Path) -> None:
    class Refusing(WakeClips):
        def save(self, *args: object) -> Path:  # type: ignore[override]
            raise InputError("the disk is full")

    bus = Bus()
    events = bus.subscribe()
    keeper = ClipKeeper(Refusing(tmp_path, 8, 30), bus)
    stop, part = threading.Event(), Part("clips", 30, SystemClock())
    thread = threading.Thread(target=keeper.run, args=(part, stop))
    thread.start()
    for second in range(2):
        assert keeper.put(heard(second))
        event = events.get(timeout=10)
        assert event is not None
        assert "could not be kept: the disk is full" in event.message
    stop.set()
    keeper.job.wake()
    thread.join(timeout=10)
    assert not thread.is_alive()
