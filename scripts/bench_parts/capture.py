"""`scripts/bench capture`: how old and how costly a picture is, what happens when a source fails, and files.

A clock is drawn 120 times a second on a real X server (Xvfb) by a process of its own, and read back by the consumer.
Every method runs in a process of its own, one after the other, in each repeat; CPU time is that process with all of
its children (not the X server, whose own share is shown beside it). mss is measured where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench_parts import clock
from bench_parts.xserver import XServer
from noctule.capture.feed import LIVE, LOST, Feed
from noctule.capture.spec import SourceSpec

SIZES = ((1280, 720), (1920, 1080))
METHODS = ("noctule", "mss", "ffmpeg")
RATE = 30
CODECS = {
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-g", "60"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=60"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60"],
    "av1": ["-c:v", "libsvtav1", "-preset", "12", "-g", "60"],
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "4"],
}
_SUFFIX = {"h264": "mp4", "hevc": "mp4", "vp9": "webm", "av1": "mp4", "mjpeg": "avi"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench capture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement (default 6)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats (default 3)")
    parser.add_argument("--only", choices=("display", "failures", "files"), help="one part of it")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--one", nargs=5, metavar=("METHOD", "ADDRESS", "W", "H", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(consume(*options.one)))
        return 0
    found: dict[str, Any] = {}
    if options.only in (None, "display"):
        found["display"] = display(options.seconds, options.repeats)
    if options.only in (None, "failures"):
        found["failures"] = failures()
    if options.only in (None, "files"):
        found["files"] = files()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


# --- displays


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


@contextmanager
def painting(server: XServer) -> Iterator[None]:
    """The clock, drawn by another process."""
    command = [sys.executable, "-m", "bench_parts.xserver", server.address]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], env=_env()) as painter:
        try:
            yield
        finally:
            painter.kill()


def _env() -> dict[str, str]:
    scripts = Path(__file__).resolve().parents[1]
    return {**os.environ, "PYTHONPATH": f"{scripts}:{scripts.parent / 'daemon'}", "OPENBLAS_NUM_THREADS": "1"}


def _measured(method: str, server: XServer, width: int, height: int, seconds: float) -> dict[str, float]:
    before = _cpu_of(server.process.pid)
    code = "import sys; from bench_parts.capture import main; main(sys.argv[1:])"
    one = ["--one", method, server.address, str(width), str(height), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-c", code, *one], env=_env(), stdout=subprocess.PIPE, text=True, check=True
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
                look(frame.rgb())
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


# --- failures


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


# --- files


def files() -> list[dict[str, Any]]:
    """CPU seconds for a JPEG of every second, and of every picture, beside ffmpeg; are the times exact?"""
    print(f"{'file':<8} {'every s: ours':>14} {'ffmpeg':>8} {'all: ours':>10} {'ffmpeg':>8}  exact")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for codec, encoder in CODECS.items():
            path = _film(folder / f"{codec}.{_SUFFIX[codec]}", encoder)
            row: dict[str, Any] = {"codec": codec, "exact": _exact(path)}
            path = _longer(path)
            for what, ours, theirs in (("every", ["--every", "1"], ["-vf", "fps=1"]), ("all", ["--nth", "1"], [])):
                out = folder / f"{codec}-{what}"
                out.mkdir()
                noctule = [
                    sys.executable,
                    "-m",
                    "noctule",
                    "extract",
                    str(path),
                    *ours,
                    "-o",
                    str(out),
                    "--quality",
                    "85",
                ]
                other = ["ffmpeg", "-v", "error", "-i", str(path), *theirs, "-q:v", "4", str(out / "f%06d.jpg")]
                pairs = [(_cost(noctule), _cost(other)) for _ in range(3)]
                row[what] = [statistics.median(p[i] for p in pairs) for i in (0, 1)]
            rows.append(row)
            print(f"{codec:<8} {row['every'][0]:>14.2f} {row['every'][1]:>8.2f} {row['all'][0]:>10.2f}"
                  f" {row['all'][1]:>8.2f}  {row['exact']}")  # fmt: skip
    return rows


def _film(path: Path, encoder: Sequence[str]) -> Path:
    """Ten seconds of 1280x720 at 30, with the picture's number drawn into a lively picture."""
    source = "testsrc2=s=1280x720:r=30:d=10,format=gray"
    raw = subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-f", "rawvideo", "-"],
                         capture_output=True, check=True).stdout  # fmt: skip
    pictures = np.frombuffer(bytearray(raw), np.uint8).reshape(-1, 720, 1280)
    for number, picture in enumerate(pictures):
        clock.draw(picture, number)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "1280x720", "-r", "30",
                    "-i", "-", *encoder, "-pix_fmt", "yuvj420p" if "mjpeg" in encoder else "yuv420p", str(path)],
                   input=pictures.tobytes(), check=True, capture_output=True)  # fmt: skip
    return path


def _longer(path: Path) -> Path:
    """The film three times over: half a minute, so that a program's own start is not all that is measured."""
    out = path.with_stem(path.stem + "-long")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-stream_loop", "2", "-i", str(path), "-c", "copy", str(out)],
                   check=True, capture_output=True)  # fmt: skip
    return out


def _exact(path: Path) -> str:
    from fractions import Fraction

    from noctule.capture.extract import Plan, extract_file

    rng = np.random.default_rng(1)
    times = sorted({Fraction(int(t), 1000) for t in rng.integers(0, 9900, 30)})
    # 1 ms of grace where the container rounds a picture's time to its own ticks
    right = sum(
        s.frame is not None
        and clock.read(s.frame.luma()) in {int(s.time * 30), int((s.time + Fraction(1, 1000)) * 30)}
        for s in extract_file(path, Plan("at", times=tuple(times))) if s.time is not None
    )  # fmt: skip
    return f"{right}/{len(times)}"


def _cost(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=_env(), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
