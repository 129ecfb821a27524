"""A supervised thread with an event loop of its own, for servers besides the control socket.

A server that cannot listen (a port taken, an address not there yet) is then one degraded part, tried again by the
supervisor and told in `status`; the control socket, in the main loop, is not affected.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable

from noctule.service.supervisor import Job, Part
from noctule.service.thread_pool import LOOP_HANDS, thread_pool

#: seconds without a turn of the loop after which it counts as frozen.
MAX_AGE = 15.0


class LoopThread:
    """opened: starts to listen, may raise NoctuleError; closed: ends every connection. Both run in the loop."""

    def __init__(
        self,
        name: str,
        opened: Callable[[], Awaitable[None]],
        closed: Callable[[], Awaitable[None]],
        max_age: float = MAX_AGE,
    ) -> None:
        self._opened, self._closed = opened, closed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self.job = Job(name, self._run, max_age, self._wake)

    def _run(self, part: Part, stop: threading.Event) -> None:
        asyncio.run(self._main(part, stop))

    async def _main(self, part: Part, stop: threading.Event) -> None:
        self._ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(thread_pool(LOOP_HANDS, self.job.name))
        self._loop = loop  # from here on `_wake` works; `stop` set before is seen below
        await self._opened()
        try:
            while not stop.is_set():
                part.beat()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), min(1.0, part.max_age / 4))
        finally:
            await self._closed()

    def _wake(self) -> None:
        if self._loop is not None and self._ending is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._ending.set)
