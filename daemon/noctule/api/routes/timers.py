"""The control socket's routes of timers.

GET  /timers            the running timers, the next to fire first
POST /timers            {"seconds": …, "name": …}: set one
POST /timers/cancel     {"number": …}: cancel one; without a number, all
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from noctule.api.http.json import json_body
from noctule.assistant.timers import Timers
from noctule.core.errors import InputError

#: characters of a timer's name.
LONGEST_NAME = 40


def routes(timers: Timers) -> list[web.RouteDef]:
    """Bound to one set. Each answers {"timers": […]}, the timers that run then."""

    def answer() -> web.Response:
        return web.json_response({"timers": timers.status()})

    async def show(request: web.Request) -> web.StreamResponse:
        return answer()

    async def start(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"seconds": (int, float), "name": (str,)}, ("seconds",))
        name = body.get("name", "")
        if len(name) > LONGEST_NAME or not all(char.isprintable() for char in name):
            raise InputError(f"A timer's name has at most {LONGEST_NAME} printable characters.")
        await asyncio.to_thread(timers.set, float(body["seconds"]), name)
        return answer()

    async def cancel(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"number": (int,)}, ())
        running = [timer.number for timer in timers.running()]
        if "number" in body and body["number"] not in running:
            raise InputError(f"There is no timer {body['number']}.", f"there are: {running}")
        await asyncio.to_thread(timers.cancel, [body["number"]] if "number" in body else running)
        return answer()

    return [
        web.get("/timers", show),
        web.post("/timers", start),
        web.post("/timers/cancel", cancel),
    ]
