"""What a capture process and its owner say to each other over a SOCK_SEQPACKET socket: JSON, descriptors, packets.

From the child: `ring` (with the memory's descriptor), `opened`, `frame`, `beat` (alive, nothing new), `stream` and
`packet` (compressed video for clips; the bytes follow in chunks), `error`, `ended`. To the child: `open` (what to
capture), `packets` (on or off), `stop`. A message is one datagram: a half message cannot arrive.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

MAX_MESSAGE = 65536
_CHUNK = 60000
#: no compressed picture is larger than this
MAX_PACKET = 16 << 20


class Closed(Exception):  # noqa: N818 - not an error: the other side is gone
    """The other side has closed the socket or died."""


def send(sock: socket.socket, message: dict[str, Any], fd: int | None = None) -> bool:
    """Send one message, with a descriptor when given. False when the other side's queue is full (non-blocking or
    timed-out sockets); raises Closed when it is gone."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return _send(sock, data, fd)


def send_packet(sock: socket.socket, message: dict[str, Any], data: bytes) -> bool:
    """Send a `packet` message and its bytes in chunks. False when the other side stopped reading midway: it drops
    an unfinished packet when the next message is not a chunk."""
    chunks = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
    if not send(sock, {**message, "t": "packet", "chunks": len(chunks), "bytes": len(data)}):
        return False
    return all(_send(sock, b"\0" + chunk, None) for chunk in chunks)


def _send(sock: socket.socket, data: bytes, fd: int | None) -> bool:
    try:
        socket.send_fds(sock, [data], [fd] if fd is not None else [])
        return True
    except (BlockingIOError, TimeoutError):
        return False
    except OSError as error:
        raise Closed(error.strerror) from None


class Receiver:
    """Reads messages; puts packets together."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._open: dict[str, Any] | None = None
        self._chunks: list[bytes] = []
        self._reset = False

    def get(self, timeout: float | None) -> tuple[dict[str, Any], int | None, bytes] | None:
        """(message, descriptor or None, packet bytes), or None when nothing whole came within `timeout` seconds
        (0: do not wait). Raises Closed."""
        while True:
            self.sock.settimeout(timeout)
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, MAX_MESSAGE, 1)
            except (BlockingIOError, TimeoutError):
                return None
            except ConnectionResetError as error:
                # The other side ended without having read everything of ours. What it said before still waits.
                if self._reset:
                    raise Closed(error.strerror) from None
                self._reset = True
                continue
            except OSError as error:
                raise Closed(error.strerror) from None
            fd = fds[0] if fds else None
            if not data:
                raise Closed("the other side has ended")
            if data[:1] == b"\0":
                whole = self._chunk(data[1:])
                if whole is not None:
                    return whole
                continue
            self._open, self._chunks = None, []
            message = _parse(data)
            if message is None:
                if fd is not None:
                    os.close(fd)
                raise Closed("the other side does not speak Noctule's capture protocol")
            if message["t"] == "packet" and 0 < int(message.get("bytes", 0)) <= MAX_PACKET:
                self._open = message
                continue
            return message, fd, b""

    def _chunk(self, data: bytes) -> tuple[dict[str, Any], None, bytes] | None:
        if self._open is None:
            return None
        self._chunks.append(data)
        if len(self._chunks) < int(self._open["chunks"]):
            return None
        message, whole = self._open, b"".join(self._chunks)
        self._open, self._chunks = None, []
        return (message, None, whole) if len(whole) == message["bytes"] else None


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("t"), str) else None
