"""Waiting for what another thread or process brings about: up to a bound that no idle machine comes near."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from noctule.core.events import Event, Subscription

#: seconds; nothing waits this long on an idle machine.
WAIT = 60.0
#: seconds between two looks.
_PAUSE = 0.005
T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "it") -> T:
    """Wait for a condition; what it then gives."""
    deadline = time.monotonic() + WAIT
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {WAIT:g} s"
        pause.wait(_PAUSE)
    return found


def wait_for(events: Subscription, kind: str) -> Event:
    """The next event of a kind."""
    while (event := events.get(WAIT)) is not None:
        if event.kind == kind:
            return event
    raise AssertionError(f"no {kind} within {WAIT:g} s")
