"""The control socket's routes of hearing.

POST /mute          {"on": true|false}: close or reopen the microphone
GET  /wake          words, thresholds, whether clips are kept, and the clips
POST /wake          {"word": …, "threshold": 0…1 | null}; or {"save": true|false}; or {"use": [NAME…]}: listen for
                    these words, [] for the configured ones; answers when it does
GET  /wake/clips/N  the clip N as audio/wav;  POST {"label": "yes"|"no"|"delete"}
GET  /utterance     the last command as audio/wav, from memory
POST /say           {"text": …}: speak it in the room; answers {"spoken": false} when it was interrupted
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from aiohttp import web

from noctule.api.http.json import json_body
from noctule.audio.chunk import RATE
from noctule.audio.wav_writer import wav_bytes
from noctule.core.errors import InputError

if TYPE_CHECKING:
    from noctule.voice.pipeline import VoicePipeline

#: characters of a wake word's name or path.
MAX_NAME = 1024


def routes(hearing: VoicePipeline) -> list[web.RouteDef]:
    """Bound to one organ."""

    async def mute(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"on": (bool,)}, ("on",))
        changed = await asyncio.to_thread(hearing.mute_by_hand, body["on"], "asked through the control socket")
        return web.json_response({"muted": hearing.ears.muted, "changed": changed})

    async def wake(request: web.Request) -> web.StreamResponse:
        clips = await asyncio.to_thread(hearing.clips.list)
        return web.json_response(
            {
                "words": hearing.status()["words"],
                "saving": hearing.status()["saving"],
                "clips": [{"name": c.name, "label": c.label, "word": c.word, "score": c.score} for c in clips],
            }
        )

    async def tune(request: web.Request) -> web.StreamResponse:
        keys = {"word": (str,), "threshold": (int, float, type(None)), "save": (bool,), "use": (list,)}
        body = await json_body(request, keys, ())
        if "save" in body:
            hearing.save_clips(body["save"])
            return web.json_response({"saving": body["save"]})
        if "use" in body:
            listening = await asyncio.to_thread(hearing.words.use, _names(body["use"]))
            return web.json_response({"words": hearing.words.in_force(), "listening": listening})
        if "word" not in body or "threshold" not in body:
            raise InputError("word and threshold are missing from the body.", "threshold null restores the default")
        threshold = None if body["threshold"] is None else float(body["threshold"])
        return web.json_response({"words": await asyncio.to_thread(hearing.words.tune, body["word"], threshold)})

    async def clip(request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(hearing.clips.find, request.match_info["name"])
        return web.Response(body=await asyncio.to_thread(found.path.read_bytes), content_type="audio/wav")

    async def label(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"label": (str,)}, ("label",))
        await asyncio.to_thread(hearing.clips.label, request.match_info["name"], body["label"])
        return web.json_response({"label": body["label"]})

    async def utterance(request: web.Request) -> web.StreamResponse:
        return web.Response(body=wav_bytes(hearing.last_utterance().samples, RATE), content_type="audio/wav")

    return [
        say_route(hearing.say),
        web.post("/mute", mute),
        web.get("/wake", wake),
        web.post("/wake", tune),
        web.get("/wake/clips/{name}", clip),
        web.post("/wake/clips/{name}", label),
        web.get("/utterance", utterance),
    ]


def say_route(say: Callable[[str], Future[bool]]) -> web.RouteDef:
    """POST /say, by whoever has the loudspeaker."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, {"text": (str,)}, ("text",))
        return web.json_response({"spoken": await asyncio.wrap_future(say(body["text"]))})

    return web.post("/say", handler)


def _names(given: list[Any]) -> list[str]:
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME and "\0" not in name for name in given):
        raise InputError(f"A wake word's name has 1 to {MAX_NAME} characters.", 'such as {"use": ["hey_noctule"]}')
    return given
