"""The status page as a component: on an event loop of its own, because a browser that hangs must not slow the control
socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noctule.api.page import StatusPage
from noctule.api.routes.capture import CaptureApi
from noctule.capture.all_sources import Sources
from noctule.config import Config
from noctule.service.component import Host
from noctule.service.loop_thread import LoopThread
from noctule.service.supervisor import Job


class PageComponent:
    """Serves `capture.page_port` of this machine alone while the service runs."""

    name = "page"

    def __init__(self, host: Host, sources: Sources) -> None:
        self._host, self._sources = host, sources
        self.port = host.config().capture.page_port
        self._page: StatusPage | None = None
        self._thread = LoopThread(self.name, self._open, self._close, host.config().supervision.stall)

    async def _open(self) -> None:
        page = StatusPage(CaptureApi(self._sources), self._host.status, self.port)
        await page.start()
        self._page = page
        page.write_address(self._host.config().api.socket.with_name("page.url"))
        self._host.bus.publish("page.open", "eyes", f"The status page is on port {self.port} of this machine", 5)

    async def _close(self) -> None:
        page, self._page = self._page, None
        if page is not None:
            await page.stop()

    def jobs(self) -> Sequence[Job]:
        return [self._thread.job]

    def status(self) -> Mapping[str, Any]:
        return {"port": self.port, "open": self._page is not None}

    def apply(self, config: Config) -> None:
        """Nothing here changes without a restart."""

    def close(self) -> None:
        """The thread closed everything as it ended."""
