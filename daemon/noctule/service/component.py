"""How senses plug into the service: an organ brings workers, API routes, facts for `status`, and live settings. L4.

`app.py` knows only this; what an organ is made of (microphone, cameras) is its module's business. An organ that is
switched off in the configuration is not built at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from noctule.assistant.worker import Ask
from noctule.config import Config
from noctule.core.clock import Clock
from noctule.core.events import Bus
from noctule.service.supervisor import Job


@dataclass(frozen=True)
class Host:
    """What the service offers an organ. config: the one in force, to be asked again; submit: hands a request to the
    language worker (BusyError, UnavailableError); clean: a request's text as the model gets it (InputError)."""

    config: Callable[[], Config]
    bus: Bus
    clock: Clock
    submit: Callable[[Ask], None]
    clean: Callable[[str], str]
    #: everything that GET /status answers
    status: Callable[[], Mapping[str, Any]] = dict


class Component(Protocol):
    """One sense."""

    @property
    def name(self) -> str:
        """Its key in `status`."""

    def jobs(self) -> Sequence[Job]:
        """Workers for the supervisor, started with the service."""

    def routes(self) -> Sequence[web.RouteDef]:
        """Additional API routes on the control socket."""

    def status(self) -> Mapping[str, Any]:
        """JSON-able facts; from any thread."""

    def apply(self, config: Config) -> None:
        """A reload: put live settings in force."""

    def close(self) -> None:
        """After the workers have ended: release what is left, within a second."""


@runtime_checkable
class Follower(Protocol):
    """An organ that exchanges what it loaded when a reload names something else, which takes a while and may fail."""

    def follow(self, old: Config, new: Config) -> Mapping[str, str]:
        """Put `new` in force; setting -> why it is not. Blocks; not for the event loop's thread."""

    def troubles(self) -> Sequence[str]:
        """Why something wanted is not in force, a sentence each; from any thread."""


#: builds the organs that the configuration asks for.
Grow = Callable[[Host], list[Component]]


def none(host: Host) -> list[Component]:
    """A service without senses."""
    return []


def close_all(organs: Sequence[Component], seconds: float) -> list[str]:
    """Close each in a thread, because a device may hang; the names of those that took longer than `seconds`."""
    closing = {organ.name: threading.Thread(target=organ.close, daemon=True) for organ in organs}
    for thread in closing.values():
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in closing.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return [name for name, thread in closing.items() if thread.is_alive()]
