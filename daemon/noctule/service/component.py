"""How a part of the whole plugs into the service: it brings workers, facts for `status`, and live settings.

`app.py` puts the components together; `service.py` runs them and knows only this. A component that is switched off in
the configuration is not built at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from noctule.config import Config
from noctule.core.clock import Clock
from noctule.core.errors import UnavailableError
from noctule.core.events import Bus
from noctule.service.request import Ask
from noctule.service.supervisor import Job

#: JSON-able facts for `status`.
Facts = Mapping[str, Any] | Sequence[Any]


def nobody(ask: Ask) -> None:
    """Where requests go before there is a language worker."""
    raise UnavailableError("The language model is switched off.", "set lm.enabled = true and restart")


@dataclass(frozen=True)
class Host:
    """What the service offers a component. config: the one in force, to be asked again; submit: hands a request to
    the language worker (BusyError, UnavailableError); clean: a request's text as the model gets it (InputError)."""

    config: Callable[[], Config]
    bus: Bus
    clock: Clock
    submit: Callable[[Ask], None]
    clean: Callable[[str], str]
    #: everything that GET /status answers
    status: Callable[[], Mapping[str, Any]] = dict


class Component(Protocol):
    """One part: a sense, a face to other programs, the language, the timers."""

    @property
    def name(self) -> str:
        """Its key in `status`."""

    def jobs(self) -> Sequence[Job]:
        """Workers for the supervisor, started with the service."""

    def status(self) -> Facts:
        """JSON-able facts; from any thread."""

    def apply(self, config: Config) -> None:
        """A reload: put live settings in force."""

    def close(self) -> None:
        """After the workers have ended: release what is left, within a second."""


@runtime_checkable
class Follower(Protocol):
    """A component that exchanges what it loaded when a reload names something else: it takes a while and may fail."""

    def follow(self, old: Config, new: Config) -> Mapping[str, str] | Future[Mapping[str, str]]:
        """Put `new` in force; setting -> why it is not, at once or in a while. Not for the event loop's thread."""

    def troubles(self) -> Sequence[str]:
        """Why something wanted is not in force, a sentence each; from any thread."""


@runtime_checkable
class Headline(Protocol):
    """A component that the service's one line of state names when all is well."""

    def headline(self) -> str:
        """What it serves with; "" for nothing."""


class Front(Protocol):
    """The door that is open from the start to the end, in the main thread's event loop: the control socket."""

    async def start(self) -> None:
        """Listen. Raises DeviceError."""

    def close(self) -> None:
        """Take nobody new."""

    async def stop(self) -> None:
        """End what is open."""

    def report(self) -> Mapping[str, Any]:
        """For `status`."""


@dataclass(frozen=True)
class Assembly:
    """A service's parts, in the order in which they start."""

    components: Sequence[Component]
    front: Front


def close_all(components: Sequence[Component], seconds: float) -> list[str]:
    """Close each in a thread, because a device may hang; the names of those that took longer than `seconds`."""
    closing = {part.name: threading.Thread(target=part.close, daemon=True) for part in components}
    for thread in closing.values():
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in closing.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return [name for name, thread in closing.items() if thread.is_alive()]
