"""The control socket's routes for whoever runs the service. What they change lasts until the next start.

GET  /model                      the language model in service
POST /model {"use": NAME}        serve with another one; "" for the configured one
GET  /log,  POST /log {"level"}  the verbosity of the journal
GET  /volume, POST /volume {"set": 0…100 | "by": ±percent | "mute": true|false}   the loudspeaker
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from noctule.api.http.json import json_body
from noctule.assistant.actions.volume import Mixer
from noctule.assistant.model_manager import ModelManager
from noctule.core.errors import DeviceError, InputError, UnavailableError
from noctule.service.journal import LEVELS
from noctule.service.operation import Operation

#: characters of a model's name or path
MAX_NAME = 1024


def routes(service: Operation, models: ModelManager, mixer: Mixer | None = None) -> list[web.RouteDef]:
    """Bound to one service."""
    speaker = mixer or Mixer(lambda: service.config.actions.mixer, tell=service.note)

    async def model(request: web.Request) -> web.StreamResponse:
        return web.json_response({"lm": dict(models.status())})

    async def use(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"use": (str,)}, ("use",))
        if len(body["use"]) > MAX_NAME or "\0" in body["use"]:
            raise InputError(f"A model's name has at most {MAX_NAME} characters.", "noctule model use NAME")
        facts = await service.to_its_end(models.use(body["use"]))
        return web.json_response({"lm": dict(facts)})

    async def log(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            level = (await json_body(request, {"level": (str,)}, ("level",)))["level"]
            if level not in LEVELS:
                raise InputError(f"The level must be one of {', '.join(LEVELS)}, not {level[:20]!r}.")
            service.set_verbosity(level)
        return web.json_response({"level": service.verbosity})

    async def volume(request: web.Request) -> web.StreamResponse:
        keys = {"set": (int, float), "by": (int, float), "mute": (bool,)}
        body = await json_body(request, keys, ()) if request.method == "POST" else {}
        settings: tuple[str, ...] = ()
        if "set" in body:
            settings = (_percent(body["set"], 0) + "%", "unmute")
        elif "by" in body:
            amount = _percent(body["by"], -100)
            settings = (f"{amount.lstrip('-')}%{'-' if amount.startswith('-') else '+'}",)
        elif "mute" in body:
            settings = ("mute" if body["mute"] else "unmute",)
        elif request.method == "POST":
            raise InputError("The body must have set, by or mute.", 'such as {"set": 40}')
        try:
            return web.json_response({"volume": await asyncio.to_thread(speaker.change, *settings)})
        except (DeviceError, UnavailableError) as error:
            if settings:
                raise
            return web.json_response({"volume": None, "why": error.message})  # who only asks is answered

    return [
        web.get("/model", model),
        web.post("/model", use),
        web.get("/log", log),
        web.post("/log", log),
        web.get("/volume", volume),
        web.post("/volume", volume),
    ]


def _percent(value: float, low: int) -> str:
    if not low <= value <= 100:
        raise InputError(f"The volume goes from {low} to 100 percent, not {value:g}.")
    return f"{value:.0f}"
