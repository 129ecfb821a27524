"""The eyes as a part of the service: its sources under the supervisor, its routes, its page. L4."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from noctule.api.capture import CaptureApi
from noctule.api.page import StatusPage
from noctule.capture.eyes import Eyes, Pictures
from noctule.config import Config
from noctule.errors import NoctuleError
from noctule.events import Bus
from noctule.supervisor import Job, Part, Supervisor

#: asking libcamera which cameras there are may take this long (seconds).
_SLOW_LOOK = 30.0


def _loop(run: Callable[[threading.Event, Callable[[], None]], None]) -> Callable[[Part, threading.Event], None]:
    """A capture loop in the form that the supervisor runs."""
    return lambda part, stop: run(stop, part.beat)


class Sight:
    """Everything about pictures that the service owns. config: the one in force, asked again each time."""

    def __init__(self, config: Callable[[], Config], bus: Bus, status: Callable[[], Mapping[str, Any]]) -> None:
        self._config, self._bus, self._status = config, bus, status
        self.eyes = Eyes(config(), self._publish, lambda: config().capture)
        self.api = CaptureApi(self.eyes)
        #: for the assistant's actions.
        self.pictures = Pictures(self.eyes)
        self._page: StatusPage | None = None

    def _publish(self, kind: str, message: str, level: int, fields: Mapping[str, Any]) -> None:
        self._bus.publish(kind, "eyes", message, level, **fields)

    def routes(self) -> list[web.RouteDef]:
        return self.api.routes()

    def add_jobs(self, supervisor: Supervisor, max_age: float) -> None:
        """A worker per source and per watched source. A source without a device is a working part: it waits."""
        self.eyes.store.clean()
        for name, feed in self.eyes.feeds.items():
            supervisor.add(Job(f"eyes:{name}", _loop(feed.run), max(max_age, _SLOW_LOOK), feed.wake))
        for watch in self.eyes.watches:
            supervisor.add(Job(f"watch:{watch.feed.spec.name}", _loop(watch.run), max_age))

    async def start_page(self, folder: Path) -> None:
        """Serve the status page where one is configured; a port that is taken is said, not fatal."""
        port = self._config().capture.page_port
        if not port:
            return
        page = StatusPage(self.api, self._status, port)
        try:
            await page.start()
            page.write_address(folder / "page.url")
        except (NoctuleError, OSError) as error:
            self._bus.publish("page.failed", "eyes", f"There is no status page: {error}", 4)
            await page.stop()
            return
        self._page = page
        self._bus.publish("page.open", "eyes", f"The status page is on port {port} of this machine", 5, port=port)

    async def stop(self) -> None:
        await self.api.close()
        if self._page is not None:
            await self._page.stop()

    def report(self) -> list[Mapping[str, Any]]:
        """For `status`."""
        return self.eyes.status()
