"""A control server on a real socket, in a thread with its own event loop. Shared by the API's tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from noctule.api.client import Client
from noctule.api.control import Control, ControlServer
from noctule.api.routes.metrics import OUTCOMES
from noctule.config.schema import Api
from noctule.core.clock import SystemClock
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus, Event
from noctule.core.request_text import clean_request
from noctule.service.request import Ask
from waiting import WAIT


class ApiWorld:
    """`answer(ask)` runs in a thread of its own for each request, as the language worker would."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "control.sock"
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.add_sink(self.events.append)
        self.answer: Callable[[Ask], Mapping[str, Any]] = lambda ask: {"reply": f"you said {ask.text}"}
        self.submit_error: NoctuleError | None = None
        self.reload_error: NoctuleError | None = None
        self.status: Callable[[], Mapping[str, Any]] = lambda: {"state": "ready"}
        self.asks: list[Ask] = []
        self.timeout = 30.0
        self.words = False
        self.heartbeat = float(settings.pop("heartbeat", 15.0))
        self.settings: dict[str, Any] = {
            "socket": self.path, "group": "", "max_clients": 64, "max_body": 65536, "read_timeout": WAIT, **settings,
        }  # fmt: skip
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    async def _start(self) -> None:
        control = Control(
            self.bus, SystemClock(), lambda: self.status(), self._reload, self._submit,
            lambda text: clean_request(text, 4096), lambda: self.timeout, lambda: 4096, heartbeat=self.heartbeat,
            words=lambda: self.words,
        )  # fmt: skip
        self.server = ControlServer(control, Api(**self.settings))
        await self.server.start()

    async def _reload(self) -> Mapping[str, Any]:
        if self.reload_error is not None:
            raise self.reload_error
        return {"applied": ["lm.top_k"], "failed": {}, "restart": []}

    def _submit(self, ask: Ask) -> None:
        if self.submit_error is not None:
            raise self.submit_error
        self.asks.append(ask)
        threading.Thread(target=self._work, args=(ask,), daemon=True).start()

    def _work(self, ask: Ask) -> None:
        try:
            found = self.answer(ask)
        except NoctuleError as error:
            if ask.result.set_running_or_notify_cancel():
                ask.result.set_exception(error)
        else:
            if ask.result.set_running_or_notify_cancel():
                ask.result.set_result(found)

    def on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT)

    def __enter__(self) -> ApiWorld:
        self.thread.start()
        self.on_loop(self._start())
        return self

    def __exit__(self, *about: object) -> None:
        self.on_loop(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT)
        self.loop.close()

    def client(self) -> Client:
        return Client(self.path, timeout=WAIT)

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(WAIT)
            sock.connect(str(self.path))
            yield sock

    def raw(self, data: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes as they are; (status, JSON) of the answer."""
        with self.connection() as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            return read_answer(sock)

    def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, dict[str, Any]]:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        return self.raw(head.encode() + body)


def read_answer(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    """One whole HTTP answer with a Content-Length and a JSON body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, f"the connection ended within the head: {data!r}"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        piece = sock.recv(65536)
        assert piece, "the connection ended within the body"
        body += piece
    return int(head.split(b" ")[1]), json.loads(body)


def status_of_a_service(**more: Any) -> dict[str, Any]:
    """What `status` answers, as far as the metrics need it."""
    return {
        "version": "1", "state": "ready", "uptime_s": 1.5, "parts": [], "timers": [], "journal": {"lost": 0},
        "lm": {"requests": dict.fromkeys((*OUTCOMES, "received"), 0), "waiting": 0},
        "api": {"clients": 0, "connections": 0, "refused": 0}, "memory": {"resident_bytes": None},
        "board": {"temperature_c": None}, **more,
    }  # fmt: skip
