"""The status page, on a port of this machine alone.

Anyone with an account here could open the port, and any web page could try to make a browser do so. So every request
needs the token (once in the address, then in a cookie that only this page gets), the name of this machine in its Host
line, and, to change something, a header that other pages cannot send.
"""

from __future__ import annotations

import errno
import hmac
import secrets
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from noctule.api.http.json import Handler, HttpError, error_response
from noctule.api.routes.capture import CaptureApi
from noctule.core.errors import DeviceError, NoctuleError

_COOKIE = "noctule"
_KINDS = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
_GUARDS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class StatusPage:
    """Serves on 127.0.0.1:port. status: the daemon's, as GET /status gives it."""

    def __init__(self, api: CaptureApi, status: Callable[[], Mapping[str, Any]], port: int, token: str = "") -> None:
        self.port, self.token = port, token or secrets.token_urlsafe(24)
        self._status = status
        self._left: Path | None = None
        app = web.Application(client_max_size=4096, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._file("page.html")),
                web.get("/page.css", self._file("page.css")),
                web.get("/page.js", self._file("page.js")),
                web.get("/page.json", self._state),
                *(route for route in api.routes() if route.path != "/clip"),
            ]
        )
        self._api = api
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)

    @property
    def address(self) -> str:
        """With the token: what to type into a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    async def start(self) -> None:
        """Listen. DeviceError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            hint = "change capture.page_port"
            if error.errno in (errno.EAFNOSUPPORT, errno.EPERM):
                hint = "the service's unit keeps it off every network; `noctule doctor` says how to open it"
            raise DeviceError(f"the status page cannot use port {self.port}: {error.strerror}", hint) from None

    def write_address(self, path: Path) -> None:
        """Leave the address where those who may use the control socket can read it."""
        self._left = path
        path.unlink(missing_ok=True)
        path.touch(0o640)
        path.write_text(self.address + "\n", encoding="ascii")

    async def stop(self) -> None:
        if self._left is not None:  # its token opens nothing any more
            self._left.unlink(missing_ok=True)
        await self._runner.cleanup()
        self._api.close()

    def _file(self, name: str) -> Handler:
        body = files(__package__).joinpath(name).read_text(encoding="utf-8")

        async def give(request: web.Request) -> web.StreamResponse:
            response = web.Response(text=body, content_type=_KINDS[name], headers=_GUARDS)
            if name == "page.html":
                response.set_cookie(_COOKIE, self.token, httponly=True, samesite="Strict", path="/")
            return response

        return give

    async def _state(self, request: web.Request) -> web.StreamResponse:
        status = self._status()
        return web.json_response(
            {
                "status": {key: status[key] for key in ("version", "state", "summary", "parts")},
                "sources": self._api.eyes.status(),
            }
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.query.get("token") or request.cookies.get(_COOKIE, "")
        try:
            if request.host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
                raise HttpError(403, "This page is for this machine alone.", "open it as http://127.0.0.1")
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                raise HttpError(
                    403, "This page needs its token.", "its address is in page.url beside the control socket"
                )
            if request.method != "GET" and request.headers.get("X-Noctule") != "page":
                raise HttpError(403, "Only the page itself may change something.")
            return await handler(request)
        except NoctuleError as error:
            return error_response(error)
