"""The service: starts the parts it is given, keeps them going, reloads, stops. Knows nothing of what they do.

    lock -> components built -> control socket -> parts start -> READY=1 -> serve -> SIGTERM -> STOPPING=1

The main thread runs an event loop for the API and the signals, and nothing that could block it. Everything else has
a thread under the supervisor. The socket is open from the start, so that `noctule status` can say "loading".
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from noctule import __version__
from noctule.config import Config, LoadedConfig
from noctule.core.clock import Clock, SystemClock
from noctule.core.events import Bus
from noctule.core.memory import set_aside
from noctule.core.request_text import clean_request
from noctule.service.board import Board
from noctule.service.component import (
    Assembly,
    Component,
    Follower,
    Front,
    Headline,
    Host,
    close_all,
    nobody,
)
from noctule.service.governor import Governed, Governor
from noctule.service.instance_lock import InstanceLock
from noctule.service.journal import Journal, notify, watchdog_interval
from noctule.service.operation import Operation
from noctule.service.status import report
from noctule.service.supervisor import STARTING, Part, Policy, Supervisor
from noctule.service.thread_pool import LOOP_HANDS, thread_pool

T = TypeVar("T")

#: puts a service together once nobody else has the devices; raises NoctuleError for settings that contradict.
Assemble = Callable[[Host, Operation, Supervisor], Assembly]

#: what systemd is asked for, again and again, while models load.
EXTEND_SECONDS = 15
#: seconds that the components get, all at once, to release their devices.
COMPONENT_CLOSE = 0.5
#: names a part that freezes on SIGUSR2, so that a test can see the watchdog at work on a real stall. Unset in
#: every installation: then SIGUSR2 keeps its default.
FREEZE_VARIABLE = "NOCTULE_DEBUG_FREEZE"


class Service:
    """One running Noctule. load: reads the configuration again; assemble: builds the parts from it."""

    def __init__(
        self,
        loaded: LoadedConfig,
        load: Callable[[], LoadedConfig],
        bus: Bus,
        journal: Journal,
        assemble: Assemble,
        clock: Clock | None = None,
        board: Board | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._bus = bus
        self._journal = journal
        self._assemble = assemble
        self._started = self._clock.monotonic()
        self._ready = False
        self._state = "starting"
        self._last_ping = 0.0
        self._watchdog = watchdog_interval()
        supervision = loaded.config.supervision
        self.supervisor = Supervisor(
            bus,
            Policy(supervision.restarts, supervision.window, supervision.retry),
            self._clock,
            ping=self._feed,
            changed=self._changed,
        )
        self.operation = Operation(
            loaded, load, bus, journal, self.supervisor, lambda: self.components, self.summary, self.status
        )
        self._board = board or Board()
        #: what the configuration asks for; built once nobody else has the devices.
        self.components: Sequence[Component] = ()
        self.front: Front | None = None
        self.governor: Governor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._ending: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.operation.config

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises NoctuleError when the service cannot even start."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(thread_pool(LOOP_HANDS, "service"))
        self._news, self._ending = asyncio.Event(), asyncio.Event()
        api = self.config.api
        # The lock first: a component takes devices and sockets, which are another instance's as long as that lives.
        with InstanceLock(api.socket.with_name("noctule.lock")):
            try:
                await self._serve()
            finally:
                close_all(self.components, COMPONENT_CLOSE)

    async def _serve(self) -> None:
        """Listen, start every part, wait for the end. The caller closes the components if this never begins."""
        assert self._ending is not None
        host = Host(lambda: self.config, self._bus, self._clock, nobody, self._clean, self.status)
        assembly = self._assemble(host, self.operation, self.supervisor)
        self.components, self.front = assembly.components, assembly.front
        self.governor = Governor(
            lambda: self.config.governor,
            self._board,
            [step for part in self.components if isinstance(part, Governed) for step in part.steps()],
            self._bus,
            self._clock,
            self.config.supervision.stall,
            self._changed,
        )
        await self.front.start()
        try:
            self._listen_to_signals()
            self._start_parts()
            await self._until_ready()
            await self._ending.wait()
        finally:
            await self._stop(self.front)

    def _clean(self, text: str) -> str:
        return clean_request(text, self.config.lm.max_prompt)

    def _start_parts(self) -> None:
        lm = self.config.lm
        what = f"loading {lm.model}" if lm.enabled else "without a language model"
        self._bus.publish("service.starting", "service", f"Noctule {__version__} is starting: {what}", level=5)
        notify(STATUS=f"Starting: {what}")
        self._background(self._beat_for_api(self.supervisor.watch("api", self.config.supervision.stall)))
        assert self.governor is not None
        self.supervisor.add(self.governor.job)
        for component in self.components:
            for job in component.jobs():
                self.supervisor.add(job)
        self.supervisor.start()

    async def _until_ready(self) -> None:
        """READY once every part works or is known not to."""
        assert self._news is not None
        assert self._ending is not None
        ending = asyncio.ensure_future(self._ending.wait())
        while not ending.done() and any(p.state == STARTING and not p.reason for p in self.supervisor.parts()):
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({news, ending}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            self._news.clear()
        if not ending.done():
            ending.cancel()
            set_aside()
            self._ready, self._state = True, "ready"
            seconds = self._clock.monotonic() - self._started
            notify(READY=1, STATUS=self.summary())
            self._bus.publish("service.ready", "service", f"{self.summary()} ({seconds:.2f} s)", 5, seconds=seconds)

    async def _stop(self, front: Front) -> None:
        self._state = "stopping"
        notify(STOPPING=1, STATUS="Stopping")
        self._bus.publish("service.stopping", "service", "Noctule is stopping", level=5)
        front.close()
        for task in self._tasks:
            task.cancel()
        timeout = self.config.service.stop_timeout
        # Workers first: a request that ends lets its client's connection end by itself.
        stopping = asyncio.ensure_future(asyncio.to_thread(self.supervisor.stop, timeout))
        await front.stop()
        stuck = await stopping
        components, self.components = self.components, ()
        stuck = dict.fromkeys(close_all(components, COMPONENT_CLOSE), "") | stuck
        for name, where in stuck.items():
            text = f"{name} did not stop in time and was left behind" + (f"; it is at {where}" if where else "")
            self._bus.publish("service.overdue", name, text, level=4)
        self._bus.publish("service.stopped", "service", "Noctule has stopped", level=5)
        self.stuck = list(stuck)

    def _listen_to_signals(self) -> None:
        assert self._loop is not None
        assert self._ending is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ending.set)
        self._loop.add_signal_handler(signal.SIGHUP, lambda: self._background(self.operation.reload_quietly()))
        frozen = os.environ.get(FREEZE_VARIABLE)
        if frozen:
            self._loop.add_signal_handler(signal.SIGUSR2, self.supervisor.freeze, frozen)

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _beat_for_api(part: Part) -> None:
        """The API's work is done by the event loop: each turn of it is a beat."""
        while True:
            part.beat()
            await asyncio.sleep(min(1.0, part.max_age / 4))

    # -- what the supervisor tells us (in its thread) ------------------------------------------------------------

    def _feed(self) -> None:
        """All parts work: feed the watchdog, or, while loading, ask systemd for patience."""
        now = self._clock.monotonic()
        if now - self._last_ping < min(1.0, (self._watchdog or 4.0) / 4):
            return
        self._last_ping = now
        if not self._ready:
            notify(EXTEND_TIMEOUT_USEC=EXTEND_SECONDS * 1_000_000)
        elif self._watchdog is not None:
            notify(WATCHDOG=1)

    def _changed(self) -> None:
        if self._loop is not None and self._news is not None:
            self._loop.call_soon_threadsafe(self._news.set)
        if self._ready:
            notify(STATUS=self.summary())

    def end(self) -> None:
        """Stop, as SIGTERM does; from any thread."""
        if self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)

    def component(self, kind: type[T]) -> T:
        """The component of a kind. KeyError when there is none."""
        for part in self.components:
            if isinstance(part, kind):
                return part
        raise KeyError(kind.__name__)

    # -- status --------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """One line for STATUS= and `systemctl status`."""
        troubles = [*self.supervisor.troubles(), *self._more_troubles()]
        if troubles:
            return "Degraded: " + "; ".join(troubles)
        lines = [line for part in self.components if isinstance(part, Headline) if (line := part.headline())]
        return f"Ready: {', '.join(lines)}" if lines else "Ready" if self._ready else "Starting"

    def _more_troubles(self) -> list[str]:
        troubles = list(self.governor.troubles()) if self.governor is not None else []
        for part in self.components:
            if isinstance(part, Follower):
                troubles += part.troubles()
        return troubles

    def status(self) -> Mapping[str, Any]:
        """Everything `noctule status` shows; JSON-able."""
        return {
            **report(self.supervisor, self._state, self._clock.monotonic() - self._started, self._more_troubles()),
            "summary": self.summary(),
            "governor": self.governor.report() if self.governor is not None else {},
            "api": dict(self.front.report()) if self.front is not None else {},
            **{part.name: part.status() for part in self.components},
            "journal": {
                "structured": self._journal.structured,
                "lost": self._journal.lost,
                "verbosity": self.operation.verbosity,
            },
            "config": {"files": self.operation.inforce.files, "needs_restart": self.operation.inforce.pending()},
        }
