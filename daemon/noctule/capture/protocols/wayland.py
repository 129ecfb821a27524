"""A small Wayland client: as much of the wire protocol as taking pictures needs, each wait bounded in time.

Source of the encodings: the Wayland protocol (wayland.xml) and wlr-screencopy-unstable-v1. No library is used:
pywayland crashes when the interpreter ends, and every call here must be able to time out.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from noctule.core.errors import DeviceError

#: handler(opcode, body of the event)
Handler = Callable[[int, bytes], None]
_DISPLAY = 1


def text(value: str) -> bytes:
    """A string argument: length with the final zero, bytes, padding."""
    data = value.encode() + b"\0"
    return struct.pack("=I", len(data)) + data + b"\0" * (-len(data) % 4)


def read_text(body: bytes, at: int) -> str:
    """The string argument at `at`."""
    (length,) = struct.unpack_from("=I", body, at)
    return body[at + 4 : at + 4 + length].rstrip(b"\0").decode(errors="replace")


def sockets(env: Mapping[str, str] = os.environ) -> list[Path]:
    """The Wayland sockets that this user can see, the session's own first."""
    found = []
    if env.get("WAYLAND_DISPLAY"):
        found.append(Path(env.get("XDG_RUNTIME_DIR", "/")) / env["WAYLAND_DISPLAY"])
    folders = [Path(env["XDG_RUNTIME_DIR"])] if env.get("XDG_RUNTIME_DIR") else []
    for folder in [*folders, *sorted(Path("/run/user").glob("*"))]:
        try:
            found += sorted(p for p in folder.glob("wayland-*") if p.is_socket())
        except OSError:
            continue
    return list(dict.fromkeys(path for path in found if path.exists()))


def _ignore(opcode: int, body: bytes) -> None:
    """The handler of events that nobody asked for."""


class WaylandConnection:
    """One connection to a compositor. `globals`: interface -> (its number, version), the first of each."""

    def __init__(self, path: Path, timeout: float = 1.0) -> None:
        self.what = f"Wayland display {path}"
        self.timeout = timeout
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.globals: dict[str, tuple[int, int]] = {}
        self._handlers: dict[int, Handler] = {_DISPLAY: self._on_display}
        self._next = 2
        self._buffer = b""
        self._error = ""
        try:
            self.sock.connect(str(path))
            self._registry = self.new(self._on_global)
            self.send(_DISPLAY, 1, struct.pack("=I", self._registry))
            self.roundtrip()
        except DeviceError:
            self.sock.close()
            raise
        except OSError as error:
            self.sock.close()
            reasons = {
                FileNotFoundError: "is not running",
                ConnectionRefusedError: "is not running",
                PermissionError: "belongs to another user",
            }
            reason = next((r for kind, r in reasons.items() if isinstance(error, kind)), f"failed: {error}")
            raise DeviceError(f"{self.what} {reason}", "`noctule sources` lists what there is") from None

    def new(self, handler: Handler) -> int:
        """A number for a new object whose events go to `handler`."""
        number, self._next = self._next, self._next + 1
        self._handlers[number] = handler
        return number

    def forget(self, number: int) -> None:
        """Drop the events of an object that was destroyed."""
        self._handlers[number] = _ignore

    def bind(self, interface: str, version: int, handler: Handler) -> int:
        """Bind a global; DeviceError when the compositor has none such."""
        if interface not in self.globals:
            raise DeviceError(
                f"{self.what} offers no {interface}",
                "its compositor does not let programs take pictures of the screen",
            )
        name, offered = self.globals[interface]
        number = self.new(handler)
        body = struct.pack("=I", name) + text(interface) + struct.pack("=II", min(version, offered), number)
        self.send(self._registry, 0, body)
        return number

    def send(self, target: int, opcode: int, body: bytes = b"", fd: int | None = None) -> None:
        data = struct.pack("=II", target, (len(body) + 8) << 16 | opcode) + body
        try:
            if fd is None:
                self.sock.sendall(data)
            else:
                socket.send_fds(self.sock, [data], [fd])
        except TimeoutError:
            raise DeviceError(f"{self.what} does not answer", "its compositor hangs") from None
        except OSError:
            raise DeviceError(f"{self.what} has closed the connection") from None

    def wait(self, done: Callable[[], object]) -> None:
        """Handle events until `done()`; DeviceError after `timeout` seconds without it."""
        deadline = time.monotonic() + self.timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeviceError(f"{self.what} does not answer", "its compositor hangs")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise DeviceError(f"{self.what} has closed the connection{self._error}")
            self._buffer += data
            for target, opcode, body in self._messages():
                self._handlers.get(target, _ignore)(opcode, body)
            if self._error:
                raise DeviceError(f"{self.what} refused{self._error}")

    def roundtrip(self) -> None:
        """Until everything sent so far has been handled."""
        done: list[bool] = []
        callback = self.new(lambda opcode, body: done.append(True))
        self.send(_DISPLAY, 0, struct.pack("=I", callback))
        self.wait(lambda: done)

    def close(self) -> None:
        self.sock.close()

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        while len(self._buffer) >= 8:
            target, word = struct.unpack_from("=II", self._buffer)
            size = word >> 16
            if size < 8:
                raise DeviceError(f"{self.what} does not speak Wayland")
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[8:size], self._buffer[size:]
            yield target, word & 0xFFFF, body

    def _on_display(self, opcode: int, body: bytes) -> None:
        if opcode == 0:
            self._error = f": {read_text(body, 8)}"

    def _on_global(self, opcode: int, body: bytes) -> None:
        if opcode == 0:
            (name,) = struct.unpack_from("=I", body)
            interface = read_text(body, 4)
            (version,) = struct.unpack_from("=I", body, len(body) - 4)
            self.globals.setdefault(interface, (name, version))
