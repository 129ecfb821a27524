"""`scripts/bench capture --only display`: how old and how costly a picture of a screen is, beside mss and ffmpeg."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noctule.capture.feed.feed import Feed
from noctule.capture.picture.colour import rgb
from noctule.capture.spec import SourceSpec
from tools.bench import clock
from tools.bench.capture_common import environment, painting, running
from tools.bench.xserver import XServer

SIZES = ((1280, 720), (1920, 1080))
METHODS = ("noctule", "mss", "ffmpeg")
RATE = 30


def display(seconds: float, repeats: int) -> list[dict[str, Any]]:
    heads = ("display", "size", "pictures/s", "age p50", "p99 ms", "CPU ms", "X CPU")
    print("{:<10} {:<10} {:>10} {:>8} {:>7} {:>7} {:>6} unread".format(*heads))
    rows = []
    for width, height in SIZES:
        with XServer(width, height) as server, painting(server):
            runs: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
            for _ in range(repeats):
                for method in METHODS:
                    if method != "mss" or importlib.util.find_spec("mss"):
                        runs[method].append(_measured(method, server, width, height, seconds))
        for method, results in runs.items():
            if not results:
                print(f"{method:<10} {width}x{height:<5} not installed")
                continue
            row = {key: statistics.median(r[key] for r in results) for key in results[0]}
            row["unread"] = max(r["unread"] for r in results)
            rows.append(
                {
                    "method": method,
                    "width": width,
                    "height": height,
                    **row,
                    "p99_worst": max(r["p99"] for r in results),
                }
            )
            print(f"{method:<10} {width}x{height:<5} {row['rate']:>10.1f} {row['p50']:>8.1f} {row['p99']:>7.1f}"
                  f" {row['cpu']:>7.2f} {row['server_cpu']:>6.2f} {row['unread']:.0f}")  # fmt: skip
    return rows


def _measured(method: str, server: XServer, width: int, height: int, seconds: float) -> dict[str, float]:
    before = _cpu_of(server.process.pid)
    code = "import sys; from tools.bench.capture import main; main(sys.argv[1:])"
    one = ["--one", method, server.address, str(width), str(height), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-c", code, *one], env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    result["server_cpu"] = (_cpu_of(server.process.pid) - before) * 1000 / max(1.0, result["count"])
    return result


def _cpu_of(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def consume(method: str, address: str, width: str, height: str, seconds: str) -> dict[str, float]:
    """Take pictures with one method for a while; each ends as uint8 [height, width, 3] in our own memory."""
    ages: list[float] = []
    unread = 0

    def look(picture: np.ndarray[Any, Any]) -> None:
        nonlocal unread
        now = time.monotonic_ns() // 1000
        drawn = clock.read(picture)
        if drawn is None:
            unread += 1
        else:
            ages.append((now - drawn) / 1000)

    take = {"noctule": _noctule, "mss": _mss, "ffmpeg": _ffmpeg}[method]
    spent, took = take(look, address, int(width), int(height), float(seconds))
    count = len(ages) + unread
    return {"count": count, "rate": count / took, "p50": float(np.percentile(ages, 50)),
            "p99": float(np.percentile(ages, 99)), "cpu": spent * 1000 / count, "unread": unread}  # fmt: skip


Look = Callable[[np.ndarray[Any, Any]], None]


def _used() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _noctule(look: Look, address: str, width: int, height: int, seconds: float) -> tuple[float, float]:
    with running(Feed(SourceSpec("screen", "x11", address, fps=RATE))) as feed, feed.subscribe(2) as viewer:
        viewer.get(10.0)
        pid = int(feed.status()["pid"])
        start, used = time.monotonic(), _used() + _cpu_of(pid)
        while time.monotonic() - start < seconds:
            frame = viewer.get(1.0)
            if frame is not None:
                look(rgb(frame))
        return _used() + _cpu_of(pid) - used, time.monotonic() - start


def _mss(look: Look, address: str, width: int, height: int, seconds: float) -> tuple[float, float]:
    import mss

    os.environ["DISPLAY"] = address
    with mss.mss() as grabber:
        area = {"left": 0, "top": 0, "width": width, "height": height}
        grabber.grab(area)
        start, used, due = time.monotonic(), _used(), time.monotonic()
        while time.monotonic() - start < seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            due += 1 / RATE
            look(np.asarray(grabber.grab(area))[..., 2::-1])
        return _used() - used, time.monotonic() - start


def _ffmpeg(look: Look, address: str, width: int, height: int, seconds: float) -> tuple[float, float]:
    command = ["ffmpeg", "-v", "error", "-f", "x11grab", "-framerate", str(RATE), "-draw_mouse", "0", "-video_size",
               f"{width}x{height}", "-i", address, "-f", "rawvideo", "-pix_fmt", "bgr0", "-"]  # fmt: skip
    size = width * height * 4
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None

        def picture() -> np.ndarray[Any, Any]:
            data = bytearray(size)
            view, got = memoryview(data), 0
            while got < size:
                got += process.stdout.readinto(view[got:])  # type: ignore[union-attr]
            return np.frombuffer(data, np.uint8).reshape(height, width, 4)[..., 2::-1]

        picture()
        start, used = time.monotonic(), _used() + _cpu_of(process.pid)
        while time.monotonic() - start < seconds:
            look(picture())
        took, spent = time.monotonic() - start, _used() + _cpu_of(process.pid) - used
        process.kill()
    return spent, took
