"""/v1/chat/completions and /v1/models, as OpenAI's clients know them. docs/api.md has the details.

A model that talks gets the whole conversation. An action model gets the last user message, takes its own action on
this board, and answers in words; what it took is reported under `x_noctule` and never as a `tool_calls` that the
client would carry out a second time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from noctule.api.ask import Control, converse
from noctule.api.http.json import Stream, compact, error_response, json_body
from noctule.api.routes.openai_messages import ParameterError
from noctule.api.routes.openai_request import KEYS, UNABLE, ChatRequest, parse
from noctule.core.errors import NoctuleError, TooLargeError
from noctule.lm.text.stop_strings import StopText

#: a name that every client may use for whatever model is in force.
ALIAS = "noctule"
_FINISH = {"length": "length", "timeout": "length"}


class NoSuchModelError(ParameterError):
    """The request names another model than the one in force."""

    http_status = 404

    def __init__(self, asked: str, loaded: str) -> None:
        hint = f"the model in force is {loaded}" if loaded else "no model is loaded: see `noctule status`"
        super().__init__("model", f"There is no model {asked[:100]!r} here.", hint, "model_not_found")


class ContextError(ParameterError):
    """The conversation is longer than the model can read."""

    def __init__(self, error: NoctuleError) -> None:
        super().__init__("messages", error.message, error.hint, "context_length_exceeded")


def respond(request: web.Request, error: NoctuleError) -> web.Response:
    """Below /v1/ errors have OpenAI's shape, elsewhere ours."""
    if not request.path.startswith("/v1/"):
        response = error_response(error)
    else:
        response = web.json_response(_error(error), status=error.http_status)
        if error.http_status == 503:
            response.headers["Retry-After"] = "1"
    if error.http_status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _error(error: NoctuleError) -> dict[str, Any]:
    kinds = {401: "authentication_error", 403: "permission_error"}
    kind = kinds.get(error.http_status, "server_error" if error.http_status >= 500 else "invalid_request_error")
    param = getattr(error, "param", None)
    return {"error": {"message": error.explain(), "type": kind, "param": param, "code": error.code}}


def routes(control: Control) -> list[web.RouteDef]:
    """The handlers, bound to one service."""

    def loaded() -> tuple[str, int]:
        status = control.status()
        return str(status.get("lm", {}).get("model", "")), int(status.get("started", 0))

    def describe(name: str, since: int) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": since, "owned_by": "noctule"}

    async def models(request: web.Request) -> web.StreamResponse:
        name, since = loaded()
        return web.json_response({"object": "list", "data": [describe(name, since)] if name else []})

    async def model(request: web.Request) -> web.StreamResponse:
        name, since = loaded()
        asked = request.match_info["name"]
        if not name or asked not in (name, ALIAS):
            raise NoSuchModelError(asked, name)
        return web.json_response(describe(name, since))

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await json_body(request, KEYS, ("messages",), UNABLE)
        wanted = parse(body, control.longest())
        name, _ = loaded()
        if name and wanted.model not in ("", name, ALIAS):
            raise NoSuchModelError(wanted.model, name)
        stream = Completion(request, wanted, name) if wanted.stream else None
        try:
            answer = await converse(control, wanted.text, control.timeout(), stream, wanted.options())
        except TooLargeError as error:
            raise ContextError(error) from None
        if stream is not None:
            return await stream.end()
        assert answer is not None
        return web.json_response(whole(wanted, name, answer))

    return [
        web.get("/v1/models", models),
        web.get("/v1/models/{name}", model),
        web.post("/v1/chat/completions", chat),
    ]


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": name}


def whole(wanted: ChatRequest, name: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer in one piece."""
    cut = StopText(wanted.stop)
    content = cut.push(answer["reply"]) + cut.finish()
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": _finish(answer),
        "logprobs": None,
    }
    usage = _usage(answer)
    return {
        **_head("chat.completion", name),
        "choices": [choice],
        **({"usage": usage} if usage else {}),
        "x_noctule": _facts(wanted, answer),
    }


def _finish(answer: Mapping[str, Any]) -> str:
    return _FINISH.get(str(answer.get("finish", "stop")), "stop")


def _usage(answer: Mapping[str, Any]) -> dict[str, int] | None:
    """None when the answer was cut off by its time, so that nothing was counted."""
    if "tokens" not in answer:
        return None
    prompt, completion = answer["tokens"]["prompt"], answer["tokens"]["completion"]
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _facts(wanted: ChatRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAI's shape has no place for: what was done on this board, and what of the request had no effect."""
    names = ("ok", "call", "command", "data", "confidence", "finish", "seconds")
    acted = answer.get("call") is not None or bool(answer.get("command"))
    ignored = [*wanted.ignored, *(wanted.ignored_by_actions if acted else ())]
    return {**{name: answer[name] for name in names if name in answer}, "ignored": ignored}


class Completion(Stream):
    """A streamed answer as server-sent events: chunks, the usage where it was asked for, and [DONE]."""

    content_type = "text/event-stream"

    def __init__(self, request: web.Request, wanted: ChatRequest, name: str) -> None:
        super().__init__(request)
        self._wanted = wanted
        self._cut = StopText(wanted.stop)
        self._head = _head("chat.completion.chunk", name)

    async def send(self, line: Mapping[str, Any]) -> None:
        """One line of `converse`, translated."""
        if "error" in line:
            found = line["error"]
            error = NoctuleError(found["message"], found["hint"])
            error.code = found["code"]
            await self._event(_error(error))
            return
        if not self.begun:
            await self._chunk({"role": "assistant", "content": ""})
        if "delta" in line:
            await self._say(self._cut.push(line["delta"]))
            return
        await self._say(self._cut.finish())
        await self._chunk({}, _finish(line), x_noctule=_facts(self._wanted, line))
        usage = _usage(line)
        if self._wanted.usage and usage:
            await self._event({**self._head, "choices": [], "usage": usage})
        await self.write(b"data: [DONE]\n\n")

    async def _say(self, text: str) -> None:
        if text:
            await self._chunk({"content": text})

    async def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        await self._event({**self._head, "choices": [choice], **more})

    async def _event(self, value: Mapping[str, Any]) -> None:
        await self.write(b"data: " + compact(value) + b"\n\n")
