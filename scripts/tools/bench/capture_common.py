"""What the parts of `scripts/bench capture` share: a painted screen, a running feed, a child's environment."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noctule.capture.feed.feed import Feed
from tools.bench.xserver import XServer


def environment() -> dict[str, str]:
    scripts = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": f"{scripts}:{scripts.parent / 'daemon'}", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def painting(server: XServer) -> Iterator[None]:
    """The clock, drawn by another process."""
    command = [sys.executable, "-m", "tools.bench.xserver", server.address]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment()) as painter:
        try:
            yield
        finally:
            painter.kill()


@contextmanager
def running(feed: Feed) -> Iterator[Feed]:
    stop = threading.Event()
    thread = threading.Thread(target=feed.run, args=(stop, lambda: None))
    thread.start()
    try:
        yield feed
    finally:
        stop.set()
        feed.wake()
        thread.join()
