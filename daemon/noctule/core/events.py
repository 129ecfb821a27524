"""What happened, and who wants to know.

An `Event` is one thing that happened, said in words and in named fields. The `Bus` hands each event to every
subscriber through a bounded queue; a subscriber that does not keep up loses its oldest events, counted, and
never slows the publisher.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic as monotonic_now
from time import time as wall_now
from types import TracebackType
from typing import Any

#: Fields whose values are a user's words or pictures. They reach live subscribers on the control socket, and the
#: journal only where the configuration says so (see journal.py).
PRIVATE_FIELDS = frozenset(
    {"text", "prompt", "reply", "words", "transcript", "audio", "image", "arguments", "sentences"}
)

_sequence = itertools.count(1)


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    kind: dotted name from `journal.KINDS` ("wake.heard"); part: who says it ("wake"); message: one line for people;
    fields: JSON-able values; level: a syslog priority (3 error, 4 warning, 5 notice, 6 info, 7 debug);
    time: wall seconds; monotonic: seconds on the monotonic clock; seq: increases by one for each event.
    """

    kind: str
    part: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    level: int = 6
    time: float = field(default_factory=wall_now)
    monotonic: float = field(default_factory=monotonic_now)
    seq: int = field(default_factory=lambda: next(_sequence))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, as `/events` sends it."""
        return {
            "seq": self.seq,
            "time": round(self.time, 3),
            "monotonic": round(self.monotonic, 6),
            "kind": self.kind,
            "part": self.part,
            "level": self.level,
            "message": self.message,
            "fields": dict(self.fields),
        }


class Subscription:
    """A bounded queue of events; oldest dropped first. Use as a context manager."""

    def __init__(self, bus: Bus, size: int, on_event: Callable[[], None] | None) -> None:
        self._bus = bus
        self._queue: queue.Queue[Event] = queue.Queue(maxsize=size)
        self._on_event = on_event
        #: events lost because this subscriber was slow.
        self.dropped = 0

    def _offer(self, event: Event) -> None:
        while True:
            try:
                self._queue.put_nowait(event)
                break
            except queue.Full:
                try:
                    self._queue.get_nowait()
                    self.dropped += 1
                    self._bus.lost()
                except queue.Empty:
                    continue
        if self._on_event is not None:
            self._on_event()

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event, or None after `timeout` seconds (0: do not wait)."""
        try:
            return self._queue.get(timeout=timeout) if timeout != 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def drain(self) -> Iterator[Event]:
        """Everything queued now, without waiting."""
        while (event := self.get(0)) is not None:
            yield event

    def close(self) -> None:
        self._bus._remove(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Bus:
    """Publishes events to sinks (called at once, must not block) and to bounded subscriptions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._sinks: list[Callable[[Event], None]] = []
        #: events that any subscriber has ever lost.
        self.dropped = 0

    def add_sink(self, sink: Callable[[Event], None]) -> None:
        """`sink(event)` is called in the publisher's thread for every event."""
        with self._lock:
            self._sinks.append(sink)

    def subscribe(self, size: int = 256, on_event: Callable[[], None] | None = None) -> Subscription:
        """A queue of at most `size` events. `on_event` is called after each arrival, in the publisher's thread."""
        subscription = Subscription(self, size, on_event)
        with self._lock:
            self._subscriptions.append(subscription)
        return subscription

    def lost(self) -> None:
        """Count one event that a slow subscriber lost."""
        with self._lock:
            self.dropped += 1

    def _remove(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def publish(self, kind: str, part: str, message: str, level: int = 6, **fields: Any) -> Event:
        """Make an event of the arguments and hand it to everybody."""
        event = Event(kind=kind, part=part, message=message, level=level, fields=fields)
        with self._lock:
            sinks, subscriptions = list(self._sinks), list(self._subscriptions)
        for sink in sinks:
            sink(event)
        for subscription in subscriptions:
            subscription._offer(event)
        return event
