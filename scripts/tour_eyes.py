"""The eyes in scripts/demo: a real X server with a moving clock, pictures of it, and pictures out of a video."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bench_parts import clock
from bench_parts.xserver import XServer

#: runs a noctule command, returns what it printed
Run = Callable[..., str]


@contextlib.contextmanager
def screen() -> Iterator[XServer | None]:
    """A display without a screen that shows a clock; None where there is no Xvfb."""
    if shutil.which("Xvfb") is None:
        yield None
        return
    with XServer(1280, 720) as server:
        server.pixels[:] = (96, 64, 32, 0)
        server.tick()
        yield server


def flags(server: XServer | None, folder: Path) -> list[str]:
    """The daemon's settings: that display, and where pictures go."""
    settings = [f"capture.folder={folder / 'pictures'}", "capture.min_free_mb=0"]
    if server is not None:
        settings += ["sources.display.kind=x11", f"sources.display.address={server.address}"]
        settings += ["sources.camera.kind=camera"]
    return [word for setting in settings for word in ("--set", setting)]


def age_of(picture: Path) -> float:
    """Seconds since the clock in a picture was drawn."""
    drawn = clock.read(np.asarray(Image.open(picture).convert("L")))
    if drawn is None:
        raise ValueError(f"{picture} does not show the clock")
    return time.monotonic() - drawn / 1e6


def show(run: Run, server: XServer | None, folder: Path) -> None:
    """A snapshot, a clip and an extraction of the display, checked by the clock in the pictures."""
    if server is None:
        print("\nno pictures of a display: Xvfb is not installed here")
        return
    print("\nthe display, a real X server that shows a clock:")
    shot = folder / "display.png"
    began = time.monotonic()
    print(f"  {run('snapshot', 'display', '-o', str(shot))}")
    late = age_of(shot) - (time.monotonic() - began)
    if late > 2.0:
        raise ValueError(f"the picture was {late:.1f} s old when it was asked for")
    print("  (the clock in it was drawn while the picture was being taken)")
    print(f"  {run('clip', 'display', '--before', '0', '--after', '2', '-o', str(folder / 'display.mp4'))}")
    print(f"  {run('extract', str(folder / 'display.mp4'), '--every', '0.5', '-o', str(folder / 'extracted'))}")
    index = json.loads((folder / "extracted" / "index.json").read_text())
    shown = [Image.open(folder / "extracted" / entry["file"]).convert("L") for entry in index["pictures"]]
    times = [clock.read(np.asarray(picture)) for picture in shown]
    if None in times or times != sorted(t for t in times if t is not None):
        raise ValueError("the extracted pictures do not show the clock in order")
    print(f"  every picture shows its clock; they are in {folder}")
