"""Pictures over HTTP.

    GET  /sources                            every source: state, age, pictures per second, drops, last error
    GET  /snapshot/SOURCE?max_age=&format=   a picture of the present (opens the source); 503 with the reason if none
    GET  /frame/SOURCE.jpg?max_age=          the newest picture in memory; does not open the source
    GET  /stream/SOURCE.mjpg?quality=        pictures as they come, each encoded once for all viewers
    POST /clip?source=&before=&after=&send=  record a clip into the store; send=1 answers with the file itself
    POST /pause, /resume {"source": …}       close a source, or all, until resumed

A picture's head says what it is: X-Noctule-Seq, -Pts, -Captured, -Size, -Flags.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web

from noctule.api.http.json import WRITE_TIMEOUT, json_body
from noctule.capture.all_sources import Sources
from noctule.capture.feed.broadcast import BOUNDARY, Broadcast, StreamPart
from noctule.capture.picture.frame import Frame
from noctule.core.errors import BusyError, InputError
from noctule.service.thread_pool import thread_pool

T = TypeVar("T")

#: pictures and clips being made at once; further requests wait their turn or, for clips, are refused.
_WORKERS, _CLIPS = 8, 4
#: pictures that a viewer may lag behind before it loses the oldest.
_STREAM_QUEUE = 2
_FORMATS = {"jpeg": (".jpg", "image/jpeg"), "jpg": (".jpg", "image/jpeg"), "png": (".png", "image/png")}


class CaptureApi:
    """The handlers over one set of sources."""

    def __init__(self, eyes: Sources) -> None:
        self.eyes = eyes
        self._pool = thread_pool(_WORKERS, "pictures")
        self._clips = 0
        self._broadcasts: dict[tuple[str, int], Broadcast] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/sources", self.sources),
            web.get("/snapshot/{source}", self.snapshot),
            web.get("/frame/{source}.jpg", self.frame),
            web.get("/stream/{source}.mjpg", self.stream, allow_head=False),
            web.post("/clip", self.clip),
            web.post("/pause", self.pause),
            web.post("/resume", self.resume),
        ]

    def close(self) -> None:
        """End the threads. Streams end with their connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def sources(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"sources": self.eyes.status()})

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["source"]
        suffix, kind = _format(request)
        quality = _whole(request, "quality", self.eyes.capture().quality, 1, 100)
        max_age = _number(request, "max_age", self.eyes.capture().max_age, 0.05, 3600)

        def take() -> tuple[Frame, bytes]:
            from noctule.capture.picture.encode import encode

            frame = self.eyes.snapshot(name, max_age)
            return frame, encode(frame, suffix, quality)

        frame, data = await self._work(take)
        return web.Response(body=data, content_type=kind, headers=_head(frame))

    async def frame(self, request: web.Request) -> web.StreamResponse:
        settings = self.eyes.capture()
        max_age = _number(request, "max_age", settings.max_age, 0.05, 3600)
        feed = self.eyes.feed(request.match_info["source"])

        def take() -> tuple[Frame, bytes]:
            from noctule.capture.picture.encode import jpeg

            frame = feed.latest(max_age)
            return frame, jpeg(frame, settings.quality)

        frame, data = await self._work(take)
        return web.Response(body=data, content_type="image/jpeg", headers=_head(frame))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        feed = self.eyes.feed(request.match_info["source"])
        settings = self.eyes.capture()
        quality = _whole(request, "quality", settings.quality, 1, 100)
        key = (feed.spec.name, quality)
        broadcast = self._broadcasts.setdefault(key, Broadcast(feed, quality, settings.max_age, settings.timeout))
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[StreamPart] = asyncio.Queue(_STREAM_QUEUE)
        response: web.StreamResponse | None = None

        def viewer(part: StreamPart) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_offer, queue, part)

        broadcast.join(viewer)
        try:
            while True:
                part = await queue.get()
                if response is None:
                    if part.error is not None:  # nothing was shown yet: an honest error, not an empty stream
                        raise part.error
                    response = web.StreamResponse(headers=_STREAM_HEAD)
                    await response.prepare(request)
                await asyncio.wait_for(response.write(part.data), WRITE_TIMEOUT)
                if part.last:
                    await response.write_eof()
                    return response
        finally:
            broadcast.leave(viewer)

    async def clip(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("source", "camera")
        longest = self.eyes.capture().max_clip
        before = _number(request, "before", 5.0, 0.0, longest)
        after = _number(request, "after", 10.0, 0.1, longest)
        self.eyes.feed(name)
        if self._clips >= _CLIPS:
            raise BusyError(f"{_CLIPS} clips are being recorded already", "try again when one is done")
        self._clips += 1
        try:
            made = await self._work(self.eyes.clip, name, before, after)
        finally:
            self._clips -= 1
        if request.query.get("send") == "1":
            return web.FileResponse(
                made.path,
                headers={
                    "Content-Type": "video/mp4",
                    "X-Noctule-Seconds": f"{made.seconds:.2f}",
                    "X-Noctule-Before": f"{made.before:.2f}",
                    "X-Noctule-Ended-Early": urllib.parse.quote(made.ended_early),
                },
            )
        return web.json_response(
            {
                "file": str(made.path),
                "seconds": round(made.seconds, 3),
                "before": round(made.before, 3),
                "ended_early": made.ended_early,
            }
        )

    async def pause(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"source": (str,)}, ())
        return web.json_response({"paused": self.eyes.pause(body.get("source"))})

    async def resume(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"source": (str,)}, ())
        return web.json_response({"resumed": self.eyes.resume(body.get("source"))})


_STREAM_HEAD = {"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}", "Cache-Control": "no-store"}


def _offer(queue: asyncio.Queue[StreamPart], part: StreamPart) -> None:
    """Into a viewer's queue; the oldest picture goes when it is full."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(part)


def _head(frame: Frame) -> dict[str, str]:
    width, height = frame.upright_size
    return {
        "X-Noctule-Seq": str(frame.seq),
        "X-Noctule-Pts": str(frame.pts),
        "X-Noctule-Size": f"{width}x{height}",
        "X-Noctule-Captured": f"{frame.captured:.6f}",
        "X-Noctule-Flags": ",".join(sorted(frame.flags)),
        "Cache-Control": "no-store",
    }


def _format(request: web.Request) -> tuple[str, str]:
    wanted = request.query.get("format", "jpeg")
    if wanted not in _FORMATS:
        raise InputError(f"format must be jpeg or png, not {wanted[:20]!r}")
    return _FORMATS[wanted]


def _number(request: web.Request, key: str, default: float, low: float, high: float) -> float:
    text = request.query.get(key)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{key} must be a number from {low:g} to {high:g}, not {(text or str(default))[:20]!r}")
    return value


def _whole(request: web.Request, key: str, default: int, low: int, high: int) -> int:
    return int(_number(request, key, default, low, high))
