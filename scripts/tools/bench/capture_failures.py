"""`scripts/bench capture --only failures`: how soon a failing source is noticed and back; what slow viewers cost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from noctule.capture.feed.feed import LIVE, LOST, Feed
from noctule.capture.spec import SourceSpec
from tools.bench.capture_common import painting, running
from tools.bench.xserver import XServer


def _seconds_until(condition: Callable[[], object], limit: float = 30.0) -> float:
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit:
            raise TimeoutError("what was waited for did not happen")
        time.sleep(0.005)
    return time.monotonic() - start


def failures() -> dict[str, float]:
    """Seconds until a failure is noticed and until pictures are back; pictures per second beside slow viewers."""
    found: dict[str, float] = {}
    server = XServer(1280, 720)
    with (
        painting(server),
        running(Feed(SourceSpec("screen", "x11", server.address))) as feed,
        feed.subscribe(2) as viewer,
    ):
        viewer.get(10.0)
        os.kill(server.process.pid, signal.SIGSTOP)
        found["X server frozen: noticed after s"] = _seconds_until(lambda: feed.state == LOST)
        os.kill(server.process.pid, signal.SIGCONT)
        found["X server thawed: pictures after s"] = _seconds_until(lambda: feed.state == LIVE)
        os.kill(int(feed.status()["pid"]), signal.SIGSTOP)
        found["capture process frozen: noticed after s"] = _seconds_until(lambda: feed.state == LOST)
        found["capture process frozen: pictures after s"] = _seconds_until(lambda: feed.state == LIVE)
        found["pictures/s alone"] = _rate(feed)
        with feed.subscribe(2), feed.subscribe(2):  # two viewers who never take anything
            found["pictures/s beside two stuck viewers"] = _rate(feed)
        number = int(server.address[1:])
        server.close()
        found["X server gone: noticed after s"] = _seconds_until(lambda: feed.state == LOST)
        with XServer(1280, 720, display=number):
            found["X server back: pictures after s"] = _seconds_until(lambda: feed.state == LIVE)
    for what, value in found.items():
        print(f"{what:<45} {value:.2f}")
    return found


def _rate(feed: Feed) -> float:
    first, start = feed.frames, time.monotonic()
    time.sleep(3.0)
    return (feed.frames - first) / (time.monotonic() - start)
