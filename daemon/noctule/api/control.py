"""The control API: HTTP with JSON on a Unix socket, for the noctule command and programs of this board. L4.

    GET  /health   {"ok": true} while the event loop turns
    GET  /status   everything `noctule status` shows
    GET  /events   a stream of JSON lines: events as they happen, drop counts, a heartbeat when nothing happens;
                   the last line of a whole stream is {"kind": "stream.closed"}
    POST /ask      {"text": …, "stream": true}: JSON lines {"delta"} … {"done"}; with "stream": false one object
    POST /reload   read the configuration again: what was applied, what needs a restart
    GET  /help     these lines

Errors are `{"error": {"code", "message", "hint"}}`. The peer must be root, the service's user or in `api.group`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from noctule.api.gate import Door
from noctule.api.http import (
    MAX_FIELD,
    MAX_HEADERS,
    MAX_LINE,
    JsonLines,
    JsonRequestHandler,
    error_body,
    json_body,
    json_errors,
    raw_refusal,
)
from noctule.api.peer import allowed, peer_of
from noctule.api.unix_socket import bind
from noctule.clock import Clock
from noctule.errors import InputError, NoctuleError, UnavailableError
from noctule.events import Bus
from noctule.workers import Ask

#: events a listener of /events may lag behind before it loses the oldest.
EVENT_QUEUE = 256
#: seconds of silence on /events after which a heartbeat line shows that the service lives.
HEARTBEAT = 15.0
#: pieces of a reply a client may lag behind before its request is given up.
DELTA_QUEUE = 1024
#: seconds between two journal lines about refused connections.
REFUSAL_PAUSE = 5.0
#: seconds beyond a request's own time after which even a frozen worker is not waited for.
GRACE = 5.0


class ForbiddenError(NoctuleError):
    """The peer may not use this socket."""

    http_status = 403
    exit_code = 77
    code = "forbidden"


@dataclass(frozen=True)
class Control:
    """What the API needs of the service.

    status: everything for GET /status; reload: applies the configuration, raises ConfigError; submit: hands a
    request to the language worker; clean: the text as the model gets it, or InputError; timeout: seconds per request.
    """

    bus: Bus
    clock: Clock
    status: Callable[[], Mapping[str, Any]]
    reload: Callable[[], Awaitable[Mapping[str, Any]]]
    submit: Callable[[Ask], None]
    clean: Callable[[str], str]
    timeout: Callable[[], float]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    heartbeat: float = HEARTBEAT
    #: routes of the organs (microphone, cameras).
    extra: Sequence[web.RouteDef] = ()


def routes(control: Control) -> list[web.RouteDef]:
    """The handlers, bound to one service."""

    async def health(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def status(request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(control.status()))

    async def usage(request: web.Request) -> web.StreamResponse:
        lines = (__doc__ or "").split("\n\n")[1].splitlines()
        return web.json_response({"help": [line.strip() for line in lines]})

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
        answer = await _converse(control, text, timeout, lines if body.get("stream", True) else None)
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
    ]


async def _converse(control: Control, text: str, timeout: float, lines: JsonLines | None) -> Mapping[str, Any] | None:
    """Put a request to the worker and pass on what comes: as `lines`, or, without them, as the returned object."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(piece: str | None) -> None:
        if piece is not None and pieces.qsize() >= DELTA_QUEUE:
            ask.cancel("The client did not read its answer.")
        else:
            pieces.put_nowait(piece)

    def settled(done: asyncio.Future[Mapping[str, Any]]) -> None:
        if not done.cancelled():
            done.exception()  # looked at, so that one which nobody awaits any more is not reported as lost
        put(None)

    def emit(piece: str) -> None:
        if lines is not None and piece:
            loop.call_soon_threadsafe(put, piece)

    ask = Ask(text, emit, control.clock.monotonic() + timeout, control.clock)
    control.submit(ask)
    result = asyncio.wrap_future(ask.result)
    result.add_done_callback(settled)
    try:
        if lines is None:
            return await asyncio.wait_for(result, timeout + GRACE)
        while (piece := await asyncio.wait_for(pieces.get(), timeout + GRACE)) is not None:
            await lines.send({"delta": piece})
        await lines.send({"done": True, **(await result)})
    except NoctuleError as error:
        if lines is None or not lines.begun:
            raise
        await lines.send(error_body(error))
    except asyncio.TimeoutError:
        raise UnavailableError("The language model gave no answer in time.", "see `noctule status`") from None
    finally:
        # However this ended, also by the client going away, nobody waits any more.
        ask.cancel("The client went away.")
        result.cancel()
    return None


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
            await lines.send({"kind": "stream.opened"})
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


# -- the server -----------------------------------------------------------------------------------------------------


class ControlServer:
    """The control API at work on its socket."""

    def __init__(
        self, control: Control, path: Path, *, group: str, max_clients: int, max_body: int, read_timeout: float
    ) -> None:
        self.path = path
        self._control = control
        self._group = group
        app = web.Application(client_max_size=max_body, middlewares=[json_errors(self._failed)])
        app.add_routes([*routes(control), *control.extra])
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.25)
        self.door = Door(self._admit, self._handler, raw_refusal, self._refused, max_clients, read_timeout)
        self._listener: asyncio.Server | None = None
        self._inode = 0
        self._untold = 0
        self._tell_after = 0.0

    async def start(self) -> None:
        """Listen. Raises DeviceError."""
        sock = bind(self.path, self._group)
        self._inode = self.path.lstat().st_ino
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(self.door.gate, sock=sock)

    def close(self) -> None:
        """Take no more connections, and let streams of events end."""
        self._control.stopping.set()
        if self._listener is not None:
            self._listener.close()

    async def stop(self) -> None:
        """End the open connections and remove the socket (if it is still ours)."""
        self.close()
        await self._runner.cleanup()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass

    def report(self) -> dict[str, Any]:
        """For `status`."""
        door = self.door
        return {
            "socket": str(self.path),
            "clients": door.clients,
            "connections": door.connections,
            "refused": door.refusals,
        }

    def _handler(self) -> JsonRequestHandler:
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        return JsonRequestHandler(
            self._runner.server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log
            keepalive_timeout=15.0,
            lingering_time=2.0,
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
        )

    def _admit(self, transport: asyncio.BaseTransport) -> None:
        peer = peer_of(transport.get_extra_info("socket"))
        if not allowed(peer, self._group):
            raise ForbiddenError(
                f"User {peer.uid} may not use the control socket.", f"only root and the group {self._group} may"
            )

    def _refused(self, error: NoctuleError) -> None:
        """Say so, but not so often that a client could fill the journal."""
        self._untold += 1
        now = self._control.clock.monotonic()
        if now >= self._tell_after:
            more = f" ({self._untold} since the last such line)" if self._untold > 1 else ""
            self._control.bus.publish(
                "api.refused", "api", f"Refused a connection: {error.message}{more}", 5, code=error.code
            )
            self._tell_after, self._untold = now + REFUSAL_PAUSE, 0

    def _failed(self, request: web.Request, error: BaseException) -> None:
        self._control.bus.publish(
            "api.refused", "api", f"A request failed: {type(error).__name__}: {error}", 3, path=request.path[:200]
        )
