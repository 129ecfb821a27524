"""What the tests of pictures share: running feeds, videos made by ffmpeg whose pictures carry their number."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noctule.capture.feed.feed import Feed
from noctule.capture.process.life import Patience
from noctule.capture.spec import SourceSpec
from tools.bench import clock
from waiting import WAIT

#: quick tempers, so that tests of failures do not take long.
QUICK = Patience(stall=0.6, open=30.0, linger=0.2, backoff=0.1, backoff_max=0.5, look=0.1)

_made: dict[tuple[str, ...], Path] = {}
_folder = tempfile.TemporaryDirectory(prefix="noctule-videos-")


@contextmanager
def running(feed: Feed) -> Iterator[Feed]:
    """A feed with its thread; ended and joined at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=feed.run, args=(stop, lambda: None), daemon=True)
    thread.start()
    try:
        yield feed
    finally:
        stop.set()
        feed.wake()
        thread.join(WAIT)
        assert not thread.is_alive(), "the feed's thread did not end"


def file_feed(path: Path, **about: object) -> Feed:
    return Feed(SourceSpec("film", "file", str(path), **about), patience=QUICK)  # type: ignore[arg-type]


def numbered(index: int, width: int = 320, height: int = 180) -> npt.NDArray[np.uint8]:
    """A grey picture [height, width] that carries `index`, and moves."""
    picture = np.full((height, width), 60, np.uint8)
    picture[100:, (index * 7) % (width - 40) :][:, :40] = 200
    clock.draw(picture, index, cell=16)
    return picture


def number_in(picture: npt.NDArray[np.uint8]) -> int | None:
    return clock.read(picture, cell=16)


def video(name: str, encoder: Sequence[str], count: int = 120, rate: str = "24", filters: str = "") -> Path:
    """A video of `count` numbered pictures; made once a run."""
    key = (name, *encoder, str(count), rate, filters)
    if key not in _made:
        path = Path(_folder.name) / f"{len(_made)}-{name}"
        first = numbered(0)
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-r",
            rate,
            "-s",
            f"{first.shape[1]}x{first.shape[0]}",
            "-i",
            "-",
        ]
        command += ["-vf", filters] if filters else []
        data = b"".join(numbered(i).tobytes() for i in range(count))
        done = subprocess.run([*command, "-an", *encoder, str(path)], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-500:]
        _made[key] = path
    return _made[key]


def plain_video() -> Path:
    return video("plain.mp4", ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "24"])


def ffmpeg(path: Path, *arguments: str) -> Path:
    """Whatever ffmpeg makes of `arguments`, as `path`."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, str(path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-800:]
    return path
