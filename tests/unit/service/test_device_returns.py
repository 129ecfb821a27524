"""Devices that go and come: what real ones taught us on the virtual board."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_pyaudio import Card

from capture_world import QUICK
from noctule.audio.chunk import HOP, Framer
from noctule.audio.microphone import QUEUE, Microphone
from noctule.audio.portaudio import CardWatch
from noctule.capture.feed.feed import Feed
from noctule.capture.process import discover, wire
from noctule.capture.process.life import ProcessLife, deadline
from noctule.capture.protocols import v4l2 as v4l2info
from noctule.capture.spec import SourceSpec
from noctule.core.clock import ManualClock
from noctule.core.errors import DeviceError
from noctule.core.events import Bus
from noctule.service.supervisor import DEGRADED, WORKING, Job, Part, Policy, Supervisor

CARDS = [("Mic", "ALSA", 1, 0, 16000)]


def test_a_part_out_of_service_is_tried_at_once_when_its_device_is_back() -> None:
    plugged, lives, tried = threading.Event(), [], threading.Semaphore(0)

    def run(part: Part, stop: threading.Event) -> None:
        lives.append(plugged.is_set())
        try:
            if not plugged.is_set():
                raise DeviceError("This board has no microphone.")
            part.beat()
        finally:
            tried.release()
        stop.wait(10)

    clock = ManualClock()
    supervisor = Supervisor(Bus(), Policy(restarts=1, retry=600.0), clock)
    worker = supervisor.add(Job("ears", run, 10.0, again=plugged.is_set))
    for _ in range(2):
        assert tried.acquire(timeout=10)
        assert worker.thread is not None
        worker.thread.join(10)
        supervisor.step()
        clock.advance(10)
        supervisor.step()
    assert worker.state == DEGRADED
    supervisor.step()
    assert lives == [False, False], "nothing changed, so it waits for the planned attempt"
    plugged.set()
    supervisor.step()
    assert tried.acquire(timeout=10)
    assert worker.state == WORKING
    supervisor.stop(5)


def test_sound_cards_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    watch = CardWatch(tmp_path / "snd")
    assert not watch.changed(), "the first look only looks"
    assert not watch.changed()
    (tmp_path / "snd").mkdir()
    assert not watch.changed(), "an empty folder is no card"
    (tmp_path / "snd" / "pcmC0D0c").touch(0o600)
    assert watch.changed()
    assert not watch.changed()
    (tmp_path / "snd" / "pcmC0D0c").chmod(0o660)
    assert watch.changed(), "udev has given it to the group a moment later"
    (tmp_path / "snd" / "pcmC0D0c").unlink()
    assert watch.changed()


def test_lost_sound_leaves_a_hole_in_the_index_and_not_in_the_sound() -> None:
    card = Card(CARDS)
    microphone = Microphone(module=card)
    microphone.open()
    for i in range(QUEUE + 3):
        card.streams[0].hear(np.full(HOP, i, np.int16).tobytes())
    first = microphone.read(0.01)
    assert first is not None
    assert (first.index, first.samples[0]) == (3 * HOP, 3)
    second = microphone.read(0.01)
    assert second is not None
    assert second.index == 4 * HOP, "what follows is whole"
    card.streams[0].hear(np.full(HOP, 99, np.int16).tobytes(), status=Card.paInputOverflow)
    chunks = [microphone.read(0.01) for _ in range(QUEUE - 1)]
    assert chunks[-1] is not None
    assert chunks[-2] is not None
    assert chunks[-1].samples[0] == 99
    assert chunks[-1].index == chunks[-2].index + 2 * HOP, "the driver lost a block"
    microphone.close()


def test_what_was_waiting_for_a_whole_hop_is_lost_with_the_rest() -> None:
    framer = Framer()
    assert framer.push(np.ones(HOP // 2, np.int16), 0.005) is None
    framer.skip(HOP)
    chunk = framer.push(np.full(HOP, 7, np.int16), 0.03)
    assert chunk is not None
    assert chunk.index == HOP + HOP // 2
    assert set(chunk.samples) == {7}


def test_a_screen_that_nobody_holds_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "card0"
    assert not discover._free(card), "no such card"
    card.touch()
    asked: list[int] = []

    def ioctl(fd: int, request: int, *rest: object) -> int:
        asked.append(request)
        os.fstat(fd)
        if len(asked) > 1:
            raise OSError(errno.EACCES, "a desktop is the master")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert discover._free(card)
    assert not discover._free(card)
    assert asked == [0x641E, 0x641E], "DRM_IOCTL_SET_MASTER, _IO('d', 0x1e)"


@pytest.mark.parametrize(
    ("fourcc", "name"), [(b"YUYV", "YUYV"), (b"Y16\xa0", "Y16 -BE"), (b"\x00\x01AB", "??AB"), (b"XR1\xb5", "XR15-BE")]
)
def test_a_format_has_a_name_that_can_be_printed(fourcc: bytes, name: str) -> None:
    assert v4l2info._printed(fourcc) == name


@pytest.mark.timing  # a feed of half a second's patience
def test_a_slow_start_gets_more_time_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    outcomes = iter([(True, False), (True, False), (True, False), (False, True), (False, False)])

    class Played:
        """Ends as `outcomes` says, at once."""

        def __init__(self, process: object, owner: object, patience: object) -> None:
            limits.append(patience.open)  # type: ignore[attr-defined]

        def run(self, go_on: object) -> DeviceError:
            self.slow, self.live = next(outcomes)
            return DeviceError("it ended")

    class Process:
        def tell(self, message: object) -> None: ...
        def end(self, patience: float = 0.0) -> bool:
            return True

    feed = Feed(SourceSpec("film", "file", "x.mp4"), patience=replace(QUICK, open=4.0))
    monkeypatch.setattr("noctule.capture.feed.feed.ProcessLife", Played)
    monkeypatch.setattr(feed._launcher, "launch", lambda: (feed.spec, Process()))
    for _ in range(5):
        feed._session(threading.Event(), lambda: None)
    assert limits == [4.0, 8.0, 16.0, 30.0, 4.0], "twice as long each time, at most 30 s, until it came alive"


@pytest.mark.timing  # a feed of half a second's patience
def test_a_process_that_still_loads_its_libraries_is_not_a_stuck_device() -> None:
    class Owner:
        def opened(self, about: object) -> None: ...

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = type("Process", (), {"sock": ours})()
        patience = QUICK.__class__(stall=0.1, open=0.1, start=0.4)
        session = ProcessLife(process, Owner(), patience)  # type: ignore[arg-type]
        # whoever waits for a picture waits that much longer, but not for ever
        called = time.monotonic() - 100
        assert deadline(session, called, 2.0, patience) == pytest.approx(called + 2.4)
        assert deadline(None, called, 2.0, patience) == pytest.approx(called + 2.0)
        began = time.monotonic()
        error = session.run(lambda: True)
        assert error is not None
        assert "its capture process did not start in 0.4 s" in error.message
        assert time.monotonic() - began >= 0.4
        assert session.slow
        session = ProcessLife(process, Owner(), patience)  # type: ignore[arg-type]
        wire.send(theirs, {"t": "beat"})
        error = session.run(lambda: True)
        assert error is not None
        assert "no picture came for 0.1 s" in error.message
        assert session.began < time.monotonic()


@pytest.mark.timing  # a feed of half a second's patience
def test_too_slow_is_told_from_stalled() -> None:
    class Owner:
        def opened(self, about: object) -> None: ...

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = type("Process", (), {"sock": ours})()
        patience = QUICK.__class__(stall=0.1, open=0.2)
        session = ProcessLife(process, Owner(), patience)  # type: ignore[arg-type]
        wire.send(theirs, {"t": "opened", "about": {}})
        error = session.run(lambda: True)
        assert error is not None
        assert "no picture came for 0.2 s" in error.message
        assert session.slow
        session = ProcessLife(process, Owner(), patience)  # type: ignore[arg-type]
        session.live = True
        assert session.run(lambda: True) is not None
        assert not session.slow


@pytest.mark.timing  # a feed of half a second's patience
def test_a_source_that_pauses_soon_after_its_first_picture_gets_more_time_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Owner:
        def arrived(self, *_: object) -> None: ...

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = type("Process", (), {"sock": ours})()
        patience = QUICK.__class__(stall=0.1, open=0.2)
        for young, slow in ((5.0, True), (0.0, False)):
            monkeypatch.setattr("noctule.capture.process.life.YOUNG", young)
            session = ProcessLife(process, Owner(), patience)  # type: ignore[arg-type]
            session._ring = object()  # type: ignore[assignment]
            wire.send(theirs, {"t": "frame", "n": 1})
            error = session.run(lambda: True)
            assert error is not None
            assert "no picture came for 0.1 s" in error.message
            assert session.slow is slow
    stalls = [patience.stall]
    for _ in range(8):
        patience = patience.longer()
        stalls.append(patience.stall)
    assert stalls[1:3] == [0.2, 0.4]
    assert stalls[-1] == 8.0
