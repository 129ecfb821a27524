"""An HTTP API at work on a listening socket: clients, bodies and times bounded, refusals told sparingly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from noctule.api.http.cors import allow, answers_preflight, is_preflight
from noctule.api.http.gate import HttpListener
from noctule.api.http.json import (
    MAX_FIELD,
    MAX_HEADERS,
    MAX_LINE,
    JsonRequestHandler,
    json_errors,
    raw_refusal,
)
from noctule.api.routes.openai import respond
from noctule.core.clock import Clock
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus

#: connections that may wait to be let in, or to be told why not; beyond it a Unix client gets EAGAIN and no reason.
BACKLOG = 1024
#: seconds between two journal lines about refused connections.
REFUSAL_PAUSE = 5.0


@dataclass(frozen=True)
class ServerLimits:
    """max_clients: connections at once; max_body: bytes; read_timeout: seconds in which a request must arrive."""

    max_clients: int
    max_body: int
    read_timeout: float


class ApiServer:
    """routes: what is served; admit: refuses a connection, permit: refuses a request, both by a NoctuleError."""

    def __init__(
        self,
        routes: Sequence[web.RouteDef],
        limits: ServerLimits,
        bus: Bus,
        clock: Clock,
        *,
        admit: Callable[[asyncio.BaseTransport], None] = lambda transport: None,
        permit: Callable[[web.Request], None] = lambda request: None,
        origins: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """origins: of web pages that may use it; see cors.py."""
        self._bus = bus
        self._clock = clock
        self._permit = permit
        app = web.Application(
            client_max_size=limits.max_body,
            middlewares=[json_errors(self._failed, respond, self._allowed), answers_preflight(origins)],
        )
        app.add_routes(routes)
        allow(app, origins)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.25)
        self.door = HttpListener(
            admit, self._handler, raw_refusal, self._refused, limits.max_clients, limits.read_timeout
        )
        self._listener: asyncio.Server | None = None
        self._untold = 0
        self._tell_after = 0.0

    async def listen(self, sock: socket.socket) -> None:
        """Serve on a bound Unix or TCP socket."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            self._listener = await loop.create_unix_server(self.door.gate, sock=sock, backlog=BACKLOG)
        else:
            self._listener = await loop.create_server(self.door.gate, sock=sock, backlog=BACKLOG)

    def close(self) -> None:
        """Take no more connections."""
        if self._listener is not None:
            self._listener.close()

    async def stop(self) -> None:
        """End the open connections."""
        self.close()
        await self._runner.cleanup()

    def report(self) -> dict[str, Any]:
        """For `status`."""
        door = self.door
        return {"clients": door.clients, "connections": door.connections, "refused": door.refusals}

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

    def _allowed(self, request: web.Request) -> None:
        if is_preflight(request):  # comes without a token, and gives nothing away
            return
        try:
            self._permit(request)
        except NoctuleError as error:
            self.door.refusals += 1
            self._refused(error)
            raise

    def _refused(self, error: NoctuleError) -> None:
        """Say so, but not so often that a client could fill the journal."""
        self._untold += 1
        now = self._clock.monotonic()
        if now >= self._tell_after:
            more = f" ({self._untold} since the last such line)" if self._untold > 1 else ""
            self._bus.publish(
                "api.refused", "api", f"Refused a connection: {error.message}{more}", 5, code=error.code
            )
            self._tell_after, self._untold = now + REFUSAL_PAUSE, 0

    def _failed(self, request: web.Request, error: BaseException) -> None:
        self._bus.publish(
            "api.refused", "api", f"A request failed: {type(error).__name__}: {error}", 3, path=request.path[:200]
        )
