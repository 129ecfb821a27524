"""A whole service in this process, driven from a thread: real socket, real signals, a real NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from noctule.api.client import Client
from noctule.app import Needs, Senses, Service, assembled, no_components
from noctule.assistant.worker import Engine
from noctule.config import Config, LoadedConfig, load_config
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus, Event
from noctule.service.board import Board
from noctule.service.journal import Journal
from noctule.service.request import Ask
from waiting import WAIT, until


class FakeEngine:
    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        return self.world.answer(ask)

    def canary(self) -> None:
        self.world.canaries.release()

    def about(self) -> Mapping[str, Any]:
        return {"model": "fake", "version": "1", "sha256": "ab" * 32, "threads": 1, "context": 128}

    def close(self) -> None:
        self.world.closed.set()


class World:
    """Runs the service in the main thread while `script` drives it from another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "noctule.toml"
        self.path = folder / "run" / "control.sock"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(WAIT)
        self.sent: list[str] = []
        self.events: list[Event] = []
        self.canaries = threading.Semaphore(0)
        self.closed = threading.Event()
        self.answer: Callable[[Ask], Mapping[str, Any]] = lambda ask: {"reply": f"you said {ask.text}"}
        self.load_error: NoctuleError | None = None
        self.loading = threading.Event()
        self.may_load = threading.Event()
        self.may_load.set()
        self.configs: list[Config] = []
        self.senses: Senses = no_components
        self.board: Board | None = None
        self.configure("")

    def configure(self, text: str) -> None:
        self.file.write_text(f'[api]\nsocket = "{self.path}"\n[service]\nstate_dir = "{self.folder}/state"\n{text}')

    def load(self) -> LoadedConfig:
        return load_config(self.file)

    def build(self, needs: Needs) -> Engine:
        self.loading.set()
        assert self.may_load.wait(WAIT)
        self.configs.append(needs.config())
        if self.load_error is not None:
            raise self.load_error
        return FakeEngine(self)

    def run(self, script: Callable[[], None]) -> Service:
        bus = Bus()
        bus.add_sink(self.events.append)
        journal = Journal()
        service = self.service = Service(
            self.load(), self.load, bus, journal, assembled(self.build, self.senses), board=self.board
        )
        failures: list[BaseException] = []

        def drive() -> None:
            try:
                script()
            except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
                failures.append(error)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        driver = threading.Thread(target=drive)
        # a service that refuses to start never takes the signal: it must not be this process that does
        before = signal.signal(signal.SIGTERM, lambda number, frame: None)
        driver.start()
        try:
            asyncio.run(service.run())
        finally:
            self.may_load.set()
            driver.join(WAIT)
            signal.signal(signal.SIGTERM, before)
        if failures:
            raise failures[0]
        return service

    def hear(self, wanted: str) -> str:
        """The next notification line, in order, that begins with `wanted`; waits for it."""
        while True:
            while self.sent:
                line = self.sent.pop(0)
                if line.startswith(wanted):
                    return line
            self.sent = self.notify.recv(65536).decode().splitlines()

    def until(self, kind: str, count: int = 1) -> Event:
        """Wait for the `count`-th event of a kind."""
        until(lambda: self.kinds().count(kind) >= count, kind)
        return [event for event in self.events if event.kind == kind][count - 1]

    def client(self) -> Client:
        return Client(self.path, WAIT)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    yield made
    made.notify.close()
