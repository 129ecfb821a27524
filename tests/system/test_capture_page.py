"""The status page in a real browser (Debian's chromium, headless), driven through its debugging protocol."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from capture_world import plain_video
from noctule.api.page import StatusPage
from noctule.api.routes.capture import CaptureApi
from noctule.capture.all_sources import Sources
from noctule.config.schema import Config, SourceConfig
from waiting import WAIT

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

#: what a person sees of a tile, and the two buttons
TILE = "document.querySelector('article[data-source=\"{name}\"]')"
STATE = {
    "version": "0",
    "state": "ready",
    "summary": "Ready: fake",
    "parts": [
        {"name": "wake", "state": "working", "reason": ""},
        {"name": "lm", "state": "degraded", "reason": "no <b>model</b>"},
    ],
}


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.numbers = socket, itertools.count(1)

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": arguments})
        while True:
            answer = await self.socket.receive_json(timeout=WAIT)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def js(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        deadline = asyncio.get_running_loop().time() + WAIT
        while not (value := await self.js(expression)):
            assert asyncio.get_running_loop().time() < deadline, f"{expression} did not become true"
            await asyncio.sleep(0.1)
        return value


async def in_browser(address: str, folder: Path, script: Callable[[Tab], Awaitable[None]]) -> None:
    """Open `address` in a fresh browser and run `script`."""
    assert BROWSER is not None
    process = await asyncio.create_subprocess_exec(
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--user-data-dir={folder}",
        "--remote-debugging-port=0",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        told = folder / "DevToolsActivePort"
        for _ in range(600):
            if told.exists() and told.read_text().strip():
                break
            await asyncio.sleep(0.1)
        port = int(told.read_text().split()[0])
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [p for p in await answer.json() if p["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Page.navigate", url=address)
                await script(tab)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_person_sees_states_and_pictures_and_can_pause(tmp_path: Path) -> None:
    config = Config(
        sources={
            "camera": SourceConfig(kind="file", address=str(plain_video())),
            "gone": SourceConfig(kind="file", address=str(tmp_path / "gone.mp4"), preroll=1.0),
        }
    )
    eyes = Sources(config)
    eyes.start()
    camera, gone = TILE.format(name="camera"), TILE.format(name="gone")

    async def script(tab: Tab) -> None:
        # a tile for each source; nothing is opened by looking at the page
        await tab.until(f"{camera} && {camera}.dataset.state")
        assert eyes.feed("camera").state == "closed"
        assert await tab.js("document.querySelector('#summary').textContent") == "Ready: fake"
        parts = await tab.js("[...document.querySelectorAll('#parts li')].map(e => e.textContent)")
        assert parts == ["wake: working", "lm: degraded – no <b>model</b>"]  # as text: no element was made of it
        # the missing one says why
        await tab.until(f"{gone}.dataset.state == 'lost'")
        assert "there is no file" in await tab.js(f"{gone}.querySelector('.error').textContent")
        # Show: a real picture of the right size appears and moves
        await tab.js(f"{camera}.querySelector('.show').click()")
        await tab.until(f"{camera}.querySelector('img').naturalWidth == 320")
        await tab.until(f"{camera}.dataset.state == 'live'")
        await tab.until(f"Number({camera}.querySelector('.fps').textContent) > 10")
        # Pause: the device is closed, and the last picture does not stay as if it were the present
        await tab.js(f"{camera}.querySelector('.pause').click()")
        await tab.until(f"{camera}.dataset.state == 'paused'")
        assert eyes.feed("camera").status()["pid"] is None
        assert await tab.js(f"{camera}.querySelector('img').hasAttribute('src')") is False
        assert await tab.js(f"{camera}.querySelector('.pause').textContent") == "Resume"
        await tab.js(f"{camera}.querySelector('.pause').click()")
        await tab.until(f"{camera}.dataset.state == 'closed'")

    async def run() -> None:
        page = StatusPage(CaptureApi(eyes), lambda: STATE, free_port())
        await page.start()
        try:
            await in_browser(page.address, tmp_path / "browser", script)
        finally:
            await page.stop()

    try:
        asyncio.run(run())
    finally:
        eyes.stop()
