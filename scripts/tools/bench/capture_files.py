"""`scripts/bench capture --only files`: what pictures out of files cost beside ffmpeg, and are their times exact?"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from noctule.capture.files.extract import Plan, extract_file
from tools.bench import clock
from tools.bench.capture_common import environment

CODECS = {
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-g", "60"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=60"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60"],
    "av1": ["-c:v", "libsvtav1", "-preset", "12", "-g", "60"],
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "4"],
}
_SUFFIX = {"h264": "mp4", "hevc": "mp4", "vp9": "webm", "av1": "mp4", "mjpeg": "avi"}


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
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
