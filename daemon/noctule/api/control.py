"""The control API: HTTP with JSON on a Unix socket, for the noctule command and programs of this board.

    GET  /health   {"ok": true} while the event loop turns
    GET  /status   everything `noctule status` shows
    GET  /events   a stream of JSON lines: events as they happen, drop counts, a heartbeat when nothing happens;
                   the last line of a whole stream is {"kind": "stream.closed"}
    POST /ask      {"text": …, "stream": true}: JSON lines {"delta"} … {"done"}; with "stream": false one object
    POST /reload   read the configuration again: what was applied, what needs a restart
    GET  /metrics  what happened so far, in Prometheus' text format
    GET  /v1/models, POST /v1/chat/completions: as OpenAI's clients know them (docs/api.md)
    GET  /help     these lines, and the other requests that this service answers (docs/api.md)

Errors are `{"error": {"code", "message", "hint"}}`. The peer must be root, the service's user or in `api.group`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from noctule.api.ask import Control, converse
from noctule.api.http.json import JsonLines, json_body
from noctule.api.http.peer import allowed, peer_of
from noctule.api.http.server import ApiServer, ServerLimits
from noctule.api.http.unix_socket import bind
from noctule.api.routes import metrics, openai
from noctule.config.schema import Api
from noctule.core.errors import ForbiddenError, InputError

__all__ = ["Control", "ControlServer"]

#: events a listener of /events may lag behind before it loses the oldest.
EVENT_QUEUE = 256


def routes(control: Control) -> list[web.RouteDef]:
    """The handlers, bound to one service."""

    async def health(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def status(request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(control.status()))

    async def usage(request: web.Request) -> web.StreamResponse:
        told = (__doc__ or "").split("\n\n")[1]
        others = {
            f"{route.method} {route.resource.canonical}"
            for route in request.app.router.routes()
            if route.resource is not None
            and route.method != "HEAD"
            and route.resource.canonical not in told
            and not getattr(route.handler, "absent", False)
        }
        lines = [line.strip() for line in told.splitlines()]
        return web.json_response({"help": [*lines, *sorted(others, key=lambda line: line.split()[::-1])]})

    async def reload(request: web.Request) -> web.StreamResponse:
        await json_body(request, {}, ()) if await request.read() else None
        return web.json_response(dict(await control.reload()))

    async def ask(request: web.Request) -> web.StreamResponse:
        keys = {"text": (str,), "stream": (bool,), "timeout": (int, float)}
        body = await json_body(request, keys, ("text",))
        limit = control.timeout()
        timeout = float(body.get("timeout", limit))
        if not 0 < timeout <= limit:
            raise InputError(f"timeout must be above 0 and at most {limit:g} s.", "see lm.timeout")
        text = control.clean(body["text"])
        lines = JsonLines(request)
        answer = await converse(control, text, timeout, lines if body.get("stream", True) else None)
        return web.json_response(dict(answer)) if answer is not None else await lines.end()

    async def events(request: web.Request) -> web.StreamResponse:
        lines = JsonLines(request)
        await _follow(control, lines)
        await lines.send({"kind": "stream.closed"})
        return await lines.end()

    return [
        web.get("/health", health),
        web.get("/status", status),
        web.get("/help", usage),
        web.get("/events", events),
        web.post("/ask", ask),
        web.post("/reload", reload),
        *metrics.routes(control),
        *openai.routes(control),
    ]


async def _follow(control: Control, lines: JsonLines) -> None:
    """Send events until the client leaves or the service stops."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    stopping = asyncio.ensure_future(control.stopping.wait())
    told = 0

    def wake() -> None:
        loop.call_soon_threadsafe(arrived.set)

    with control.bus.subscribe(EVENT_QUEUE, wake) as subscription:
        try:
            await lines.send({"kind": "stream.opened", "log_words": control.words()})
            last = False
            while not last:
                waiting = asyncio.ensure_future(arrived.wait())
                try:
                    await asyncio.wait({waiting, stopping}, timeout=control.heartbeat, return_when="FIRST_COMPLETED")
                finally:
                    waiting.cancel()
                last = stopping.done()  # what was said before the end is still passed on
                if not arrived.is_set() and not last:
                    await lines.send({"kind": "stream.heartbeat", "monotonic": control.clock.monotonic()})
                arrived.clear()
                for event in subscription.drain():
                    await lines.send(event.as_dict())
                if subscription.dropped > told:
                    await lines.send({"kind": "stream.dropped", "dropped": subscription.dropped - told})
                    told = subscription.dropped
        finally:
            stopping.cancel()


class ControlServer(ApiServer):
    """The control API at work on its socket."""

    def __init__(
        self,
        control: Control,
        settings: Api,
        more: Sequence[web.RouteDef] = (),
        leaving: Sequence[Callable[[], None]] = (),
    ) -> None:
        """more: the components' routes; leaving: called when the socket is gone, to free what these routes hold."""
        self.path = settings.socket
        self._control = control
        self._group = settings.group
        self._leaving = leaving
        self._inode = 0
        super().__init__(
            [*routes(control), *more],
            ServerLimits(settings.max_clients, settings.max_body, settings.read_timeout),
            control.bus,
            control.clock,
            admit=self._admit,
        )

    async def start(self) -> None:
        """Listen. Raises DeviceError."""
        sock = bind(self.path, self._group)
        self._inode = self.path.lstat().st_ino
        await self.listen(sock)

    def close(self) -> None:
        """Take no more connections, and let streams of events end."""
        self._control.stopping.set()
        super().close()

    async def stop(self) -> None:
        """End the open connections and remove the socket (if it is still ours)."""
        await super().stop()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass
        for leave in self._leaving:
            leave()

    def report(self) -> dict[str, Any]:
        """For `status`."""
        return {"socket": str(self.path), **super().report()}

    def _admit(self, transport: asyncio.BaseTransport) -> None:
        peer = peer_of(transport.get_extra_info("socket"))
        if not allowed(peer, self._group):
            raise ForbiddenError(
                f"User {peer.uid} may not use the control socket.", f"only root and the group {self._group} may"
            )
