"""A source in its own process: opened on demand, killed when it hangs, restarted; never a picture it did not give."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capture_world import QUICK, file_feed, number_in, plain_video, running
from noctule.capture.feed.feed import CLOSED, LIVE, LOST, PAUSED, Feed
from noctule.capture.files.extract import Plan, extract_live
from noctule.capture.picture.colour import rgb
from noctule.capture.process.life import Patience
from noctule.capture.process.process import CaptureProcess
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError, UnavailableError
from waiting import WAIT, until


def pid_of(feed: Feed) -> int:
    until(lambda: feed.status()["pid"] is not None, "a capture process")
    return int(feed.status()["pid"])


def recorder() -> tuple[list[tuple[str, str]], Callable[..., None]]:
    said: list[tuple[str, str]] = []
    return said, lambda kind, message, level, fields: said.append((kind, message))


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_source_is_open_only_while_somebody_looks() -> None:
    feed = file_feed(plain_video())
    with running(feed):
        assert feed.status()["state"] == CLOSED
        with feed.subscribe() as viewer:
            first = viewer.get(WAIT)
            assert first is not None
            assert number_in(rgb(first)) is not None
            pid = pid_of(feed)
            assert feed.status()["viewers"] == 1
        until(lambda: feed.state == CLOSED, "closing after the last viewer")
        until(lambda: gone(pid), "the end of the capture process")
        with pytest.raises(DeviceError, match=r"film has not given a picture yet \(closed\)"):
            feed.latest(5.0)


def test_pictures_come_in_order_and_on_time() -> None:
    with running(file_feed(plain_video())) as feed, feed.subscribe(8) as viewer:
        frames = [viewer.get(WAIT) for _ in range(30)]
        numbers = [number_in(rgb(f)) for f in frames if f is not None]
        assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + 30))
        times = [f.captured for f in frames if f is not None]
        assert times == sorted(times)
        assert viewer.dropped == 0


def test_a_file_starts_again_and_its_time_goes_on(tmp_path: Path) -> None:
    from capture_world import video

    short = video("short.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2"], count=8)
    with running(file_feed(short)) as feed, feed.subscribe(8) as viewer:
        frames = [viewer.get(WAIT) for _ in range(20)]
        assert [number_in(rgb(f)) for f in frames if f] == [*range(8), *range(8), *range(4)]
        assert [f.pts for f in frames if f] == [Fraction(i, 24) for i in range(20)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_source_is_noticed_and_comes_back(how: signal.Signals) -> None:
    said, publish = recorder()
    feed = file_feed(plain_video())
    feed._publish = publish
    with running(feed), feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        pid = pid_of(feed)
        os.kill(pid, how)
        until(lambda: feed.state == LOST, "the loss")
        with pytest.raises(
            DeviceError, match=r"film gives no picture: (no picture came for 0\.6 s|its capture process ended)"
        ):
            feed.latest(0.0)
        until(lambda: feed.state == LIVE, "the return")
        until(lambda: gone(pid), "the end of the frozen process")
        frame = feed.fresh(1.0, WAIT)
        assert number_in(rgb(frame)) is not None
    kinds = [kind for kind, _ in said]
    assert kinds[:3] == ["capture.live", "capture.lost", "capture.live"]


def test_the_owner_takes_its_process_with_it() -> None:
    """A daemon that is killed leaves no capture process behind, not even a frozen one."""
    code = (
        "import sys, threading\n"
        "from noctule.capture.feed.feed import Feed\n"
        "from noctule.capture.spec import SourceSpec\n"
        "feed = Feed(SourceSpec('film', 'file', sys.argv[1]))\n"
        "threading.Thread(target=feed.run, args=(threading.Event(), lambda: None), daemon=True).start()\n"
        "viewer = feed.subscribe()\n"
        "assert viewer.get(20)\n"
        "print(feed.status()['pid'], flush=True)\n"
        "threading.Event().wait()\n"
    )
    import subprocess

    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(plain_video())],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "daemon"},
        cwd=Path(__file__).parents[3],
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    os.kill(child, signal.SIGSTOP)
    owner.kill()
    owner.wait(WAIT)
    owner.stdout.close()
    until(lambda: gone(child), "the end of the capture process")


def test_what_is_missing_is_said_at_once_and_opened_when_it_comes(tmp_path: Path) -> None:
    said, publish = recorder()
    path = tmp_path / "later.mp4"
    feed = file_feed(path)
    feed._publish = publish
    with running(feed):
        with pytest.raises(DeviceError, match="film gives no picture: there is no file"):
            feed.fresh(1.0, WAIT)
        with feed.subscribe() as viewer:
            until(lambda: feed.state == LOST)
            path.write_bytes(plain_video().read_bytes())
            assert viewer.get(WAIT) is not None
            path.unlink()  # unplugged: an open file plays on, but the next round cannot open it
    assert [kind for kind, _ in said].count("capture.lost") <= 2  # said once, not at every attempt


def test_a_source_that_gives_nothing_is_an_error_in_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video at all" * 100)
    with running(file_feed(bad)) as feed, pytest.raises(DeviceError, match="is not a video, or is damaged"):
        feed.fresh(1.0, WAIT)


def test_a_stale_picture_is_an_error() -> None:
    with running(file_feed(plain_video())) as feed, feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        os.kill(pid_of(feed), signal.SIGSTOP)
        assert feed.latest(30.0).captured > 0
        with pytest.raises(
            DeviceError, match=r"gives no new picture: the last one is \d+\.\d s old|gives no picture"
        ):
            feed.latest(0.0)


def test_pause_closes_the_device_and_refuses() -> None:
    said, publish = recorder()
    feed = file_feed(plain_video())
    feed._publish = publish
    with running(feed), feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        pid = pid_of(feed)
        feed.pause()
        with pytest.raises(UnavailableError, match="film is paused"):
            feed.latest(30.0)
        until(lambda: feed.state == PAUSED and gone(pid), "the closing")
        with pytest.raises(UnavailableError, match="film is paused"):
            feed.fresh(30.0, WAIT)
        feed.resume()
        assert feed.fresh(1.0, WAIT) is not None
    assert ("capture.paused", "film is paused and its device closed") in said


def test_slow_viewers_lose_pictures_and_slow_nobody() -> None:
    with running(file_feed(plain_video())) as feed, feed.subscribe(2) as slow, feed.subscribe(8) as quick:
        frames = [frame for _ in range(48) if (frame := quick.get(WAIT)) is not None]
        # every picture is accounted for: taken, or counted as dropped
        assert frames[-1].seq - frames[0].seq + 1 == len(frames) + quick.dropped
        assert frames[-1].pts - frames[0].pts == Fraction(frames[-1].seq - frames[0].seq, 24)
        assert slow.dropped >= 40
        newest = slow.get(WAIT)
        assert newest is not None
        assert newest.seq >= frames[-1].seq - 4  # what is left is the newest, not the oldest


def test_masks_are_painted_before_anything_is_seen() -> None:
    feed = file_feed(plain_video(), masks=((0.0, 0.0, 0.5, 1.0),))
    with running(feed), feed.subscribe() as viewer:
        frame = viewer.get(WAIT)
        assert frame is not None
        assert "masked" in frame.flags
        assert (frame.planes[0][:, :160] == 128).all()
        assert not (frame.planes[0][:, 160:] == 128).all()
        assert feed.status()["masked"]


def test_live_extraction() -> None:
    with running(file_feed(plain_video())) as feed:
        shots = list(extract_live(feed, Plan("every", step=Fraction(1, 4)), seconds=1.2))
        numbers = [number_in(rgb(s.frame)) for s in shots if s.frame]
        assert len(numbers) >= 4
        assert np.diff([n for n in numbers if n is not None]).tolist() == [6] * (len(numbers) - 1)
        assert [float(s.time or 0) for s in shots][:3] == [0.0, 0.25, 0.5]


def test_live_extraction_of_what_gives_nothing(tmp_path: Path) -> None:
    feed = file_feed(tmp_path / "none.mp4")
    with running(feed), pytest.raises(DeviceError, match="film: there is no file"):
        list(extract_live(feed, Plan("nth"), seconds=1.0, timeout=0.5))


# --- processes that misbehave


def misbehaving(script: str, patience: Patience = QUICK) -> Feed:
    """A feed whose capture process is `script`, given the socket as `sock` and wire's helpers."""
    code = (
        "import socket, sys, time, os, json\n"
        "from noctule.capture.process import wire\n"
        "sock = socket.socket(fileno=int(sys.argv[1]))\n"
        "wire.Receiver(sock).get(10)\n" + script
    )
    return Feed(
        SourceSpec("odd", "file", str(plain_video())), patience=patience, command=[sys.executable, "-c", code]
    )


@pytest.mark.timing  # a feed of half a second's patience
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("os._exit(3)", r"its capture process ended \(exit status 3\)"),
        ("raise RuntimeError('the driver said no')", r"ended \(RuntimeError: the driver said no\)"),
        ("os.kill(os.getpid(), 11)", r"ended \(killed by SIGSEGV\)"),
        ("sock.send(b'garbage'); time.sleep(60)", "its capture process ended"),
        ("sock.send(json.dumps([1]).encode()); time.sleep(60)", "its capture process ended"),
        ("wire.send(sock, {'t': 'opened', 'about': {}}); time.sleep(60)", r"no picture came for \d+ s"),
        (
            (
                "fd = os.memfd_create('x'); os.ftruncate(fd, 4096); "
                "wire.send(sock, {'t': 'ring', 'slots': 4, 'payload': 96}, fd); time.sleep(60)"
            ),
            "not a sealed ring",
        ),
        (
            "wire.send(sock, {'t': 'error', 'message': 'the lens cap is on', 'hint': '', 'code': 'unavailable'})",
            "the lens cap is on",
        ),
    ],
)
def test_a_capture_process_that_misbehaves_is_a_reason_not_a_crash(script: str, says: str) -> None:
    patience = replace(QUICK, open=1.0) if "came for" in says else QUICK
    with running(misbehaving(script, patience)) as feed, pytest.raises((DeviceError, UnavailableError), match=says):
        feed.fresh(1.0, WAIT)


@pytest.mark.timing  # a feed of half a second's patience
def test_no_capture_process_at_all() -> None:
    feed = Feed(SourceSpec("odd", "file", str(plain_video())), patience=QUICK, command=["/nonexistent/python"])
    with running(feed), pytest.raises(DeviceError, match="no capture process could be started: No such file"):
        feed.fresh(1.0, WAIT)


@pytest.mark.timing  # a feed of half a second's patience
def test_a_kind_that_needs_a_missing_module() -> None:
    feed = Feed(SourceSpec("pi", "picamera2", "0"), patience=QUICK, python=sys.executable)
    with (
        running(feed),
        pytest.raises(DeviceError, match="pi needs the Python module picamera2, which is not installed"),
    ):
        feed.fresh(1.0, WAIT)


def test_the_loop_beats_and_ends() -> None:
    beats: list[Any] = []
    stop = threading.Event()
    feed = file_feed(plain_video())
    thread = threading.Thread(target=feed.run, args=(stop, lambda: beats.append(1)))
    thread.start()
    with feed.subscribe() as viewer:
        assert viewer.get(WAIT) is not None
        until(lambda: len(beats) > 5)
    stop.set()
    feed.wake()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert feed.state == CLOSED


def test_a_service_that_stops_does_not_wait_for_its_capture_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    patiences: list[float] = []
    end = CaptureProcess.end

    def ended(process: CaptureProcess, patience: float = 0.0) -> bool:
        patiences.append(patience)
        return end(process, patience)

    monkeypatch.setattr(CaptureProcess, "end", ended)
    feed = file_feed(plain_video())
    with running(feed):
        with feed.subscribe() as viewer:
            assert viewer.get(WAIT) is not None
        until(lambda: feed.state == CLOSED, "nobody looks any more")
        viewer = feed.subscribe()
        assert viewer.get(WAIT) is not None
    viewer.close()
    assert patiences == [0.5, 0.0], "asked first, so that a stream's server hears of it; and not at the very end"
