"""A real X server without a screen (Xvfb), whose pixels are drawn by writing into its frame buffer."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from noctule.capture.protocols.x11 import X11Connection
from tools.bench import clock


def pixels_of(path: str) -> npt.NDArray[np.uint8]:
    """The frame buffer file as uint8 [height, width, 4]. An X window dump: big-endian words, colours, pixels."""
    with Path(path).open("r+b") as file:
        whole = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint8)
    words = whole[:100].view(">u4")
    start, width, height, stride = int(words[0]) + int(words[19]) * 12, int(words[4]), int(words[5]), int(words[12])
    return whole[start : start + stride * height].reshape(height, stride // 4, 4)[:, :width]


class XServer:
    """Xvfb on a free display number. `pixels`: uint8 [height, width, 4], blue, green, red, unused."""

    def __init__(
        self, width: int = 640, height: int = 360, extra: Sequence[str] = (), display: int | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-x-")
        ours, theirs = os.pipe()
        name = [f":{display}"] if display is not None else []
        self.process = subprocess.Popen(
            [
                "Xvfb",
                *name,
                "-displayfd",
                str(theirs),
                "-screen",
                "0",
                f"{width}x{height}x24",
                "-noreset",
                "-nolisten",
                "tcp",
                "-fbdir",
                self._folder.name,
                *extra,
            ],
            pass_fds=[theirs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        with os.fdopen(ours) as answer:
            number = answer.readline().strip()
        if not number:
            self.process.wait(5)
            raise RuntimeError("Xvfb did not start")
        self.address = f":{number}"
        self.pixels = pixels_of(str(Path(self._folder.name) / "Xvfb_screen0"))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def tick(self, rate: float = 120.0) -> None:
        """Draw the monotonic clock (microseconds), again and again, in a thread."""

        def run() -> None:
            while not self._stop.wait(1 / rate):
                clock.draw(self.pixels, time.monotonic_ns() // 1000)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)
        self.process.kill()
        self.process.wait(5)
        self._folder.cleanup()

    def __enter__(self) -> XServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def main(address: str, rate: float = 120.0) -> None:
    """Draw the clock on a display, as an ordinary X client (PutImage), until killed or the
    server ends. The server draws and is read one
    request after the other, so a picture never holds half of a clock."""
    with contextlib.suppress(OSError), X11Connection(address, timeout=60.0) as x:
        context = x.ids + 1
        x.wire.send(55, 0, struct.pack("<III", context, x.root, 0))
        picture = np.zeros((clock.ROWS * 16, clock.COLUMNS * 16, 4), np.uint8)
        height, width, _ = picture.shape
        head = struct.pack("<IIHHhhBBxx", x.root, context, width, height, 0, 0, 0, x.display.depth)
        while True:
            clock.draw(picture, time.monotonic_ns() // 1000)
            x.wire.send(72, 2, head + picture.tobytes())
            time.sleep(1 / rate)


if __name__ == "__main__":
    main(sys.argv[1])
