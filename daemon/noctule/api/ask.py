"""A request put to the language worker, and its answer passed on as it comes. Common to every API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from noctule.api.http.json import error_body
from noctule.core.clock import Clock
from noctule.core.errors import NoctuleError, UnavailableError
from noctule.core.events import Bus
from noctule.service.component import Host
from noctule.service.request import Ask

#: seconds of silence on /events after which a heartbeat line shows that the service lives.
HEARTBEAT = 15.0
#: pieces of a reply a client may lag behind before its request is given up.
DELTA_QUEUE = 1024
#: seconds beyond a request's own time after which even a frozen worker is not waited for.
GRACE = 5.0


async def _no_reload() -> Mapping[str, Any]:
    raise UnavailableError("The configuration is reloaded through the control socket.", "noctule reload")


@dataclass(frozen=True)
class Control:
    """What the API needs of the service.

    status: everything for GET /status; reload: applies the configuration, raises ConfigError; submit: hands a
    request to the language worker; clean: the text as the model gets it, or InputError; timeout: seconds per request;
    longest: characters of one message.
    """

    bus: Bus
    clock: Clock
    status: Callable[[], Mapping[str, Any]]
    reload: Callable[[], Awaitable[Mapping[str, Any]]]
    submit: Callable[[Ask], None]
    clean: Callable[[str], str]
    timeout: Callable[[], float]
    longest: Callable[[], int]
    #: whether words may be shown without being asked for (service.log_words).
    words: Callable[[], bool] = lambda: False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    heartbeat: float = HEARTBEAT

    @classmethod
    def of(cls, host: Host, reload: Callable[[], Awaitable[Mapping[str, Any]]] | None = None) -> Control:
        """What a service offers its faces; without `reload` its configuration is not theirs to read again."""
        return cls(
            host.bus,
            host.clock,
            host.status,
            reload or _no_reload,
            host.submit,
            host.clean,
            lambda: host.config().lm.timeout,
            lambda: host.config().lm.max_prompt,
            words=lambda: host.config().service.log_words,
        )


class Lines(Protocol):
    """Where a streamed answer goes: {"delta"} …, then {"done": true, …} or {"error": …}."""

    @property
    def begun(self) -> bool:
        """Whether the client has seen the head of the answer already."""

    async def send(self, line: Mapping[str, Any]) -> None:
        """Pass one line on. ConnectionError when the client is gone."""


async def converse(
    control: Control, text: str, timeout: float, lines: Lines | None, options: Mapping[str, Any] | None = None
) -> Mapping[str, Any] | None:
    """Put a request to the worker and pass on what comes: as `lines`, or, without them, as the returned object.

    options: see `workers.Ask`. Raises NoctuleError unless `lines` have begun, which then end with the error.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(piece: str | None) -> None:
        if piece is not None and pieces.qsize() >= DELTA_QUEUE:
            ask.cancel("The client did not read its answer.")
        else:
            pieces.put_nowait(piece)

    def settled(done: asyncio.Future[Mapping[str, Any]]) -> None:
        if not done.cancelled():
            done.exception()  # looked at, so that one which nobody awaits any more is not reported as lost
        put(None)

    def emit(piece: str) -> None:
        if lines is not None and piece:
            loop.call_soon_threadsafe(put, piece)

    ask = Ask(text, emit, control.clock.monotonic() + timeout, control.clock, options or {})
    control.submit(ask)
    result = asyncio.wrap_future(ask.result)
    result.add_done_callback(settled)
    try:
        if lines is None:
            return await asyncio.wait_for(result, timeout + GRACE)
        while (piece := await asyncio.wait_for(pieces.get(), timeout + GRACE)) is not None:
            await lines.send({"delta": piece})
        await lines.send({"done": True, **(await result)})
    except NoctuleError as error:
        if lines is None or not lines.begun:
            raise
        await lines.send(error_body(error))
    except asyncio.TimeoutError:
        raise UnavailableError("The language model gave no answer in time.", "see `noctule status`") from None
    finally:
        # However this ended, also by the client going away, nobody waits any more.
        ask.cancel("The client went away.")
        result.cancel()
    return None
