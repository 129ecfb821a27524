"""Clients nobody wants, in numbers. Standard library only; every random byte comes from a seed."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from survival_world import SOCKET, WYOMING, dial

GOOD = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SEEDS_HTTP = (
    b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n{"text": "what time is"}',
    b"GET /snapshot/film HTTP/1.1\r\nHost: x\r\n\r\n",
    b'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n0\r\n\r\n',
    b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b'POST /mute HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"on": "yes"}',
)
SEEDS_WYOMING = (
    b'{"type": "describe"}\n',
    b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, "payload_length": 4}\nabcd',
    b'{"type": "transcript", "data_length": 16}\n{"text": "hello"}',
    b'{"type": "detect", "data": {"names": ["hey_noctule"]}}\n',
)


def flood(number: int) -> tuple[int, int, dict[str, int]]:
    """`number` clients at the same moment; (answered, refused with 503, what happened to the others)."""
    seen: list[str] = []
    gate = threading.Event()

    def one() -> None:
        gate.wait()
        try:
            with dial(SOCKET, 60.0) as sock:
                with contextlib.suppress(ConnectionError):  # sent away before we asked, with a reason
                    sock.sendall(GOOD)
                line = sock.makefile("rb").readline()
        except OSError as error:
            seen.append(type(error).__name__)
        else:
            seen.append(line.split(b" ")[1].decode() if line.count(b" ") > 1 else "nothing")

    before = threading.stack_size(256 << 10)
    clients = [threading.Thread(target=one) for _ in range(number)]
    threading.stack_size(before)
    for client in clients:
        client.start()
    gate.set()
    for client in clients:
        client.join(90)
    counts = Counter(seen)
    return counts.pop("200", 0), counts.pop("503", 0), dict(counts)


@contextlib.contextmanager
def slow_clients(path: Path, number: int) -> Iterator[None]:
    """Connections that each have sent half a request."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            sock = stack.enter_context(dial(path))
            with contextlib.suppress(OSError):  # sent away already
                sock.sendall(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Le")
        yield


@contextlib.contextmanager
def half_sent(path: Path, number: int, size: int) -> Iterator[None]:
    """Connections that have each sent `size` bytes of a body which is one byte longer."""
    head = b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (size + 1)
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            with contextlib.suppress(OSError):  # it may die of the first ones
                stack.enter_context(dial(path)).sendall(head + b"x" * size)
        yield


def spoiled(rng: random.Random, seed: bytes) -> bytes:
    """A good message with something wrong: bytes flipped, cut, doubled, or replaced by noise."""
    data = bytearray(seed)
    how = rng.randrange(5)
    if how == 0:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif how == 1:
        del data[rng.randrange(len(data)) :]
    elif how == 2:
        start = rng.randrange(len(data))
        data[start:start] = data[start:] * rng.randint(1, 4)
    elif how == 3:
        start = rng.randrange(len(data))
        data[start : start + 20] = rng.randbytes(rng.randint(0, 60))
    else:
        data = bytearray(rng.randbytes(rng.randint(1, 300)))
    return bytes(data)


def malformed_http(path: Path, number: int) -> None:
    """`number` spoiled requests, each on its own connection. AssertionError when the service hangs on one."""
    _throw(path, SEEDS_HTTP, number, random.Random(number))


def malformed_wyoming(number: int) -> None:
    """The same as Wyoming events."""
    _throw(WYOMING, SEEDS_WYOMING, number, random.Random(number))


def _throw(path: Path, seeds: tuple[bytes, ...], number: int, rng: random.Random) -> None:
    for _ in range(number):
        data = spoiled(rng, rng.choice(seeds))
        with dial(path, 20.0) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(0.02)  # some spoiled requests are good ones, and /events has no end
            with contextlib.suppress(TimeoutError):
                sock.recv(4096)
