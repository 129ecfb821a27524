"""Web pages at the port: those of allowed origins may ask, others are told why not, and nothing is given away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from noctule.api.http.cors import allow, answers_preflight
from noctule.api.http.json import json_errors

PAGE, OTHER = "https://page.example", "https://other.example"


def asked(method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    async def hello(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def main() -> tuple[int, dict[str, str], str]:
        app = web.Application(
            middlewares=[json_errors(lambda request, error: None), answers_preflight(lambda: [PAGE])]
        )
        app.add_routes([web.post("/hello", hello), web.get("/hello", hello)])
        allow(app, lambda: [PAGE])
        async with TestClient(TestServer(app)) as client, client.request(method, path, headers=headers) as response:
            return response.status, dict(response.headers), await response.text()

    return asyncio.run(main())


def first(origin: str) -> dict[str, Any]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-stainless-os",
    }


@pytest.mark.parametrize("path", ["/hello", "/nothing"])
def test_a_page_of_an_allowed_origin_may_ask(path: str) -> None:
    status, head, _ = asked("OPTIONS", path, **first(PAGE))
    assert status == 204
    assert head["Access-Control-Allow-Origin"] == PAGE
    assert "Authorization" in head["Access-Control-Allow-Headers"]
    assert "x-stainless-os" in head["Access-Control-Allow-Headers"]
    status, head, _ = asked("GET", "/hello", Origin=PAGE)
    assert (status, head["Access-Control-Allow-Origin"], head["Vary"]) == (200, PAGE, "Origin")


def test_other_pages_are_refused_in_words() -> None:
    status, head, text = asked("OPTIONS", "/hello", **first(OTHER))
    assert status == 403
    assert "Access-Control-Allow-Origin" not in head
    assert "may not use this port" in text
    assert "Access-Control-Allow-Origin" not in asked("GET", "/hello", Origin=OTHER)[1]


def test_what_is_not_there_is_still_not_there() -> None:
    assert asked("GET", "/nothing")[0] == 404
    assert asked("OPTIONS", "/hello")[0] == 405
