"""The pictures of a running daemon's source, for `noctule extract`: its MJPEG stream, read part by part.

Each part's head carries what a Frame knows (sequence, PTS, capture time, flags), so selection works as on the spot.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np
from PIL import Image

from noctule.capture.files.extract import Plan, Shot, choose
from noctule.capture.picture.frame import Frame, make_frame
from noctule.core.errors import DeviceError

#: opens a path of the daemon's API for reading.
OpenStream = Callable[[str], contextlib.AbstractContextManager[BinaryIO]]
_MAX_PART = 16 << 20


def extract_remote(open_stream: OpenStream, name: str, plan: Plan, seconds: float) -> Iterator[Shot]:
    """As extract.extract_live, of the daemon's source `name`. Raises what the daemon answers."""
    with open_stream(f"/stream/{quote(name, safe='')}.mjpg?quality=95") as stream:
        yield from choose(_frames(stream, name, seconds), plan)


def _frames(stream: BinaryIO, name: str, seconds: float) -> Iterator[Frame]:
    zero: Fraction | None = None
    began = 0.0
    for head, data in parts(stream):
        if "x-noctule-pts" not in head:
            raise DeviceError(f"{name}: the daemon's stream ended: {data.decode(errors='replace')[:200]}")
        pts = Fraction(head["x-noctule-pts"])
        if zero is None:
            zero, began = pts, time.monotonic()
        if time.monotonic() - began > seconds:
            return
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        height, width, _ = pixels.shape
        about: dict[str, Any] = {
            "matrix": "rgb",
            "full_range": True,
            "flags": frozenset(filter(None, head.get("x-noctule-flags", "").split(","))),
        }
        yield make_frame(
            name,
            int(head["x-noctule-seq"]),
            "rgb24",
            width,
            height,
            [pixels.reshape(height, width * 3)],
            pts=pts - zero,
            captured=float(head["x-noctule-captured"]),
            **about,
        )
    raise DeviceError(f"{name}: the daemon's stream ended", "`noctule status` says more")


def parts(stream: BinaryIO) -> Iterator[tuple[dict[str, str], bytes]]:
    """(head, body) of each part of a multipart stream whose parts have a Content-Length."""
    while True:
        line = stream.readline(8192)
        if not line:
            return
        if not line.startswith(b"--"):
            continue
        head: dict[str, str] = {}
        while (line := stream.readline(8192)).strip():
            key, _, value = line.decode("latin-1").partition(":")
            head[key.strip().lower()] = value.strip()
        size = int(head.get("content-length", "0"))
        if not 0 < size <= _MAX_PART:
            return
        yield head, stream.read(size)
