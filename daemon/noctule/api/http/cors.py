"""Requests of web pages: which origins may use this port (Fetch Standard, CORS protocol).

A page asks first (OPTIONS, without the token); it is answered where its origin is allowed, else refused in words. The
token is asked for all the same: an origin is a claim of the browser's, and of nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from aiohttp import web

from noctule.api.http.json import Handler
from noctule.core.errors import ForbiddenError, NoctuleError

Respond = Callable[[web.Request, NoctuleError], web.Response]


def is_preflight(request: web.BaseRequest) -> bool:
    """Whether a browser asks if a page may send its request."""
    wants = "Access-Control-Request-Method" in request.headers
    return request.method == "OPTIONS" and "Origin" in request.headers and wants


def allow(app: web.Application, origins: Callable[[], Collection[str]]) -> None:
    """Say in each answer to a page of an allowed origin that it may read it."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and origin in origins():
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.add("Vary", "Origin")

    app.on_response_prepare.append(prepare)


def answers_preflight(origins: Callable[[], Collection[str]]) -> Any:
    """Middleware: a page that asks first is answered here, whatever it asks for."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return preflight(request, origins()) if is_preflight(request) else await handler(request)

    return middleware


def preflight(request: web.Request, origins: Collection[str]) -> web.Response:
    """The answer to a page that asks first. Raises ForbiddenError for another origin."""
    origin = request.headers["Origin"]
    if origin not in origins:
        raise ForbiddenError(
            f"Web pages of {origin[:100]} may not use this port.", "add the origin to api.origins; docs/api.md"
        )
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, OpenAI-Organization, OpenAI-Project",
        "Access-Control-Max-Age": "600",
    }
    asked = request.headers.get("Access-Control-Request-Headers", "")
    stainless = [name for name in asked.split(",") if name.strip().lower().startswith("x-stainless-")]
    if stainless:  # the official client's facts about itself
        headers["Access-Control-Allow-Headers"] += ", " + ", ".join(name.strip()[:60] for name in stainless[:20])
    return web.Response(status=204, headers=headers)
