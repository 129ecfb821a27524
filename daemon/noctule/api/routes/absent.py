"""What this board does not have: its routes answer with the reason, not with "Not Found"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from noctule.core.errors import UnavailableError

_EARS = ("No microphone is used here.", "audio.source, wake.enabled")
_VOICE = ("No loudspeaker is used here.", "audio.output")
_EYES = ("Pictures are switched off.", "capture.enabled")
#: (method, path) -> the sentence and the hint.
_USUAL: dict[tuple[str, str], tuple[str, str]] = {
    ("POST", "/say"): _VOICE,
    ("POST", "/mute"): _EARS,
    ("GET", "/wake"): _EARS,
    ("POST", "/wake"): _EARS,
    ("GET", "/utterance"): _EARS,
    ("GET", "/sources"): _EYES,
    ("GET", "/snapshot/{source}"): _EYES,
    ("POST", "/clip"): _EYES,
    ("POST", "/pause"): _EYES,
    ("POST", "/resume"): _EYES,
}


def routes(present: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """A route that refuses for each usual one that is not among `present`."""
    there = {(route.method, route.path) for route in present}
    return [
        web.route(method, path, _refusing(*why))
        for (method, path), why in _USUAL.items()
        if (method, path) not in there
    ]


def _refusing(sentence: str, hint: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise UnavailableError(sentence, hint)

    refuse.absent = True  # type: ignore[attr-defined]  # what GET /help leaves out
    return refuse
