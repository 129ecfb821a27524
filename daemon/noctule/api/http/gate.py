"""The doorkeeper of a listening socket: who may come in, how many, and how long they may take to ask.

aiohttp bounds the size of what it parses but not the time a client takes to send it, nor the number of clients. A
`Gate` stands between the transport and aiohttp's connection handler and adds both. It passes every byte on unchanged
and knows of HTTP only how to write a refusal.

    waiting --bytes--> reading --`read_complete()`--> serving --`served()`--> waiting
                          \\-- not within read_timeout: 408, closed
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from noctule.core.errors import NoctuleError


class Inner(Protocol):
    """What the gate needs of the connection handler behind it (aiohttp's RequestHandler)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


@dataclass
class HttpListener:
    """One listening socket's rules and counts.

    admit: raises a NoctuleError to refuse a peer; inner: makes the handler of one connection; refusal: renders
    an error as a whole HTTP response; refused: told of each refusal; max_clients: connections at once;
    read_timeout: seconds in which a request must have arrived.
    """

    admit: Callable[[asyncio.BaseTransport], None]
    inner: Callable[[], Inner]
    refusal: Callable[[NoctuleError], bytes]
    refused: Callable[[NoctuleError], None]
    max_clients: int
    read_timeout: float
    clients: int = 0
    connections: int = 0
    refusals: int = 0

    def gate(self) -> Gate:
        """A protocol for one new connection."""
        return Gate(self)


class SlowClientError(NoctuleError):
    """A request did not arrive in time."""

    http_status = 408
    code = "slow"


class FullError(NoctuleError):
    """More connections than `api.max_clients`."""

    http_status = 503
    code = "busy"


class Gate(asyncio.Protocol):
    """One connection."""

    def __init__(self, door: HttpListener) -> None:
        self._door = door
        self._inner: Inner | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._serving = False
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        door = self._door
        door.connections += 1
        try:
            door.admit(transport)
            if door.clients >= door.max_clients:
                raise FullError(
                    f"All {door.max_clients} connections are taken.", "try again, or raise api.max_clients"
                )
        except NoctuleError as error:
            self._refuse(error)
            return
        door.clients += 1
        self._counted = True
        self._inner = door.inner()
        self._inner.connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        if not self._serving and self._timer is None:
            self._expect()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        if self._inner is not None:
            self._inner.eof_received()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        if self._counted:
            self._door.clients -= 1
            self._counted = False
        if self._inner is not None:
            self._inner.connection_lost(exc)
            self._inner = None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def read_complete(self) -> None:
        """The whole request has arrived; from here on time is the server's own."""
        self._serving = True
        self._stop_timer()

    def arriving(self) -> None:
        """A piece of a long request has come: the next one has `read_timeout` again. Its reader bounds the whole."""
        if not self._serving:
            self._stop_timer()
            self._expect()

    def served(self) -> None:
        """The request was answered; the next one on this connection must arrive in time again."""
        self._serving = False
        self._stop_timer()

    def _expect(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._door.read_timeout, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(
            SlowClientError(
                f"The request did not arrive within {self._door.read_timeout:g} s.", "send it at once and whole"
            )
        )

    def _refuse(self, error: NoctuleError) -> None:
        assert self._transport is not None
        self._door.refusals += 1
        self._door.refused(error)
        self._transport.write(self._door.refusal(error))
        self._transport.close()
