"""The port for programs that cannot open a Unix socket: /v1, /metrics, /status, /health, each with a token.

Off unless `api.tcp` is set. What changes the service or hands out sound and pictures stays on the control socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from noctule.api.ask import Control
from noctule.api.http.address import LAN_WARNING, bind
from noctule.api.http.server import ApiServer, ServerLimits
from noctule.api.http.token import check_bearer, load_token
from noctule.api.routes import metrics, openai, transcriptions
from noctule.config import Config
from noctule.config.address import parse
from noctule.service.component import Host
from noctule.service.loop_thread import LoopThread
from noctule.service.supervisor import Job
from noctule.voice.transcription import Transcriptions


class TcpApi:
    """A component. Raises ConfigError for an address that must not be used."""

    name = "tcp"

    def __init__(self, host: Host) -> None:
        api = host.config().api
        self.address = parse(api.tcp, "api.tcp", api.lan, "api.lan")
        self._host = host
        self._origins = tuple(api.origins)
        control = Control.of(host)
        self._transcriptions = Transcriptions(host.config, host.bus)
        self._routes = [
            *_plain(control), *metrics.routes(control), *openai.routes(control),
            *transcriptions.routes(self._transcriptions, lambda: host.config().api.max_audio),
        ]  # fmt: skip
        self._looped = LoopThread(self.name, self._open, self._close)
        self._server: ApiServer | None = None
        #: the port in use, which the system chose if the configured one is 0.
        self.port = self.address.port

    async def _open(self) -> None:
        config = self._host.config()
        token = load_token(config.service.state_dir)
        limits = ServerLimits(config.api.max_clients, config.api.max_body, config.api.read_timeout)
        server = ApiServer(
            self._routes,
            limits,
            self._host.bus,
            self._host.clock,
            permit=lambda request: check_bearer(request, token),
            origins=lambda: self._origins,
        )
        sock = bind(self.address, "api.tcp")
        self.port = sock.getsockname()[1]
        await server.listen(sock)
        self._server = server

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    # -- component ---------------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        return [self._looped.job]

    def status(self) -> Mapping[str, Any]:
        server, lan = self._server, not self.address.loopback
        facts: dict[str, Any] = {"address": str(self.address), "open": server is not None, "lan": lan}
        facts |= server.report() if server is not None else {}
        return facts | ({"warning": LAN_WARNING} if lan else {})

    def apply(self, config: Config) -> None:
        """Nothing here changes without a restart."""

    def close(self) -> None:
        """The thread closed its socket as it ended."""
        self._transcriptions.close()


def _plain(control: Control) -> list[web.RouteDef]:
    async def health(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def status(request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(control.status()))

    return [web.get("/health", health), web.get("/status", status)]
