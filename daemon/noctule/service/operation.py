"""Changing a running service: reload the configuration, exchange the model, turn the verbosity up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from noctule.config import Config, LoadedConfig
from noctule.config.in_force import InForce
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus
from noctule.service.component import Component, Follower
from noctule.service.journal import LEVELS, Journal, notify, reloading
from noctule.service.supervisor import DEGRADED, Policy, Supervisor

T = TypeVar("T")


class Operation:
    """components: those plugged in now; summary: the service in one line, for systemd; status: GET /status."""

    def __init__(
        self,
        loaded: LoadedConfig,
        load: Callable[[], LoadedConfig],
        bus: Bus,
        journal: Journal,
        supervisor: Supervisor,
        components: Callable[[], Sequence[Component]],
        summary: Callable[[], str],
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.inforce = InForce(loaded, load, bus)
        self._bus, self._journal, self._supervisor = bus, journal, supervisor
        self._components, self._summary, self.status = components, summary, status
        self._lock: asyncio.Lock | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.inforce.config

    # -- reload --------------------------------------------------------------------------------------------------

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again and apply what can change live. Raises ConfigError; the old one then stays.

        Goes on when its caller is cancelled: a client that leaves must not leave half a reload behind.
        """
        return await self._whole(self._reload())

    async def reload_quietly(self) -> None:
        """As `reload`, for a signal; each mistake is in the journal already."""
        with contextlib.suppress(NoctuleError):
            await self.reload()

    async def _reload(self) -> dict[str, Any]:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            reloading()
            try:
                return await self.inforce.reload(self._apply)
            finally:
                notify(READY=1, STATUS=self._summary())

    async def _apply(self, old: Config, new: Config) -> Mapping[str, str]:
        """Put live settings in force, and give parts that are out of service another chance at once."""
        self._journal.configure(new.service.verbosity, new.service.log_words)
        rules = new.supervision
        self._supervisor.policy = Policy(rules.restarts, rules.window, rules.retry)
        for component in self._components():
            component.apply(new)
        # Whoever exchanges something is told before a part that is out of service gets its chance with the new one.
        outcomes = [
            await asyncio.to_thread(part.follow, old, new)
            for part in self._components()
            if isinstance(part, Follower)
        ]
        for part in self._supervisor.parts():
            if part.state == DEGRADED:
                self._supervisor.retry(part.name)
        failed: dict[str, str] = {}
        for outcome in outcomes:
            told = await asyncio.wrap_future(outcome) if isinstance(outcome, Future) else outcome
            failed.update(told)
        return failed

    # -- by hand, until the next start ---------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """What another program said, for the journal alone."""
        self._bus.publish("audio.trouble", "sound", f"amixer says: {text}", 5)

    async def to_its_end(self, future: Future[T]) -> T:
        """Await what a component does in a thread of its own, whatever becomes of the caller."""

        async def settled() -> T:
            return await asyncio.wrap_future(future)

        return await self._whole(settled())

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, which goes on to its end whatever becomes of the caller."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                task.exception()  # looked at: whoever asked may have left, and the journal has it

        task.add_done_callback(ended)
        return await asyncio.shield(task)

    def set_verbosity(self, level: str) -> None:
        """Least important messages shown, until the next reload or start."""
        self._journal.configure(level, self.config.service.log_words)
        self._bus.publish("log.level", "service", f"Messages of the level {level} are shown", 5, verbosity=level)

    @property
    def verbosity(self) -> str:
        """The level in force."""
        return next(name for name, level in LEVELS.items() if level == self._journal.level)
