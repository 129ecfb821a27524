"""A small X11 client: can this server be captured? Each request is bounded in time.

Source of the encodings: the X Window System Protocol, X Version 11 (connection setup, QueryExtension) and the RandR
1.3 protocol. FFmpeg's x11grab is not used: it hangs for ever on a server without MIT-SHM or one
that has hung, under Xwayland it delivers black pictures, and when the server dies it goes on delivering old ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from noctule.core.errors import DeviceError

_FAMILY_WILD, _FAMILY_LOCAL = 65535, 256


@dataclass(frozen=True)
class X11Display:
    """number: of the display; width, height, depth: of its first screen."""

    number: int
    width: int
    height: int
    depth: int


def display_number(address: str) -> int:
    """The N of ":N" or ":N.S"; DeviceError for displays of other machines, which have no shared memory with us."""
    found = re.fullmatch(r"(?:unix)?:(\d{1,5})(?:\.\d+)?", address)
    if found is None:
        raise DeviceError(
            f'"{address}" is not an X11 display of this machine',
            "it looks like :0; remote displays cannot be captured",
        )
    return int(found[1])


class X11Connection:
    """An open connection to a display that can be captured: local, with MIT-SHM, not Xwayland."""

    def __init__(self, address: str, timeout: float, env: Mapping[str, str] = os.environ) -> None:
        number = display_number(address)
        self.what = f"X11 display :{number}"
        with explained(self.what):
            sock = _connect(number, timeout)
            try:
                self.wire = _Wire(sock)
                self.root, self.ids, self.display = _setup(self.wire, number, env, self.what)
                self.shm = self._check()
            except BaseException:
                sock.close()
                raise

    def _check(self) -> int:
        """MIT-SHM's opcode; DeviceError when the server cannot be captured."""
        shm = self.wire.extension("MIT-SHM")
        if shm is None:
            raise DeviceError(
                f"{self.what} has no shared memory (MIT-SHM), without which it cannot be captured",
                "start the X server without -extension MIT-SHM, on this machine",
            )
        if self.wire.extension("XWAYLAND") is not None or _has_xwayland_output(self.wire, self.root):
            raise DeviceError(
                f"{self.what} is Xwayland: it shows only black to programs that capture it",
                "capture the Wayland desktop itself: enable noctule-display.service in the user's session",
            )
        return shm

    def size(self) -> tuple[int, int]:
        """(width, height) of the screen now (GetGeometry, opcode 14)."""
        reply = self.wire.request(14, 0, struct.pack("<I", self.root))
        return struct.unpack_from("<HH", reply, 16)

    def close(self) -> None:
        self.wire.sock.close()

    def __enter__(self) -> X11Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Say in words what is wrong with a connection."""
    try:
        yield
    except TimeoutError:
        raise DeviceError(f"{what} does not answer", "its X server hangs") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise DeviceError(f"{what} is not running", "`noctule sources` lists what there is") from None
    except PermissionError:
        raise DeviceError(f"{what} may not be used by this user") from None
    except (OSError, EOFError, struct.error) as error:
        raise DeviceError(f"{what} broke off the connection: {error or 'no reason given'}") from None


def probe(address: str, timeout: float = 1.0, env: Mapping[str, str] = os.environ) -> X11Display:
    """What the display is; DeviceError with the reason when it cannot be captured."""
    with X11Connection(address, timeout, env) as connection:
        return connection.display


def displays() -> list[str]:
    """The addresses of the X servers that have a socket here."""
    names = sorted(Path("/tmp/.X11-unix").glob("X[0-9]*"), key=lambda p: p.name)
    return [f":{path.name[1:]}" for path in names if path.name[1:].isdigit()]


def _connect(number: int, timeout: float) -> socket.socket:
    path = f"/tmp/.X11-unix/X{number}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        try:
            sock.connect(path)
        except FileNotFoundError:
            sock.connect("\0" + path)  # a server with its own /tmp listens on the abstract name too
    except BaseException:
        sock.close()
        raise
    return sock


class _Wire:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(min(size - len(data), 65536))
            if not more:
                raise EOFError("it closed")
            data += more
        return data

    def send(self, opcode: int, minor: int, body: bytes, fd: int | None = None) -> None:
        """Send one request, with a descriptor when given."""
        body += b"\0" * (-len(body) % 4)
        data = struct.pack("<BBH", opcode, minor, 1 + len(body) // 4) + body
        if fd is None:
            self.sock.sendall(data)
        else:
            socket.send_fds(self.sock, [data], [fd])

    def request(self, opcode: int, minor: int, body: bytes) -> bytes:
        """Send one request, return its reply (32 bytes and more) or b"" for an X error. Events are skipped."""
        self.send(opcode, minor, body)
        while True:
            head = self.read(32)
            if head[0] == 0:
                return b""
            if head[0] == 1:
                (extra,) = struct.unpack_from("<I", head, 4)
                return head + self.read(min(extra, 1 << 20) * 4)

    def extension(self, name: str) -> int | None:
        """The extension's major opcode, or None where the server lacks it (QueryExtension, opcode 98)."""
        reply = self.request(98, 0, struct.pack("<HH", len(name), 0) + name.encode())
        return reply[9] if reply and reply[8] else None


def _setup(wire: _Wire, number: int, env: Mapping[str, str], what: str) -> tuple[int, int, X11Display]:
    """Connection setup; returns (root window, first resource number of ours, the display)."""
    name, secret = _authorization(number, env)
    pad = [b"\0" * (-len(part) % 4) for part in (name, secret)]
    hello = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(secret))
    wire.sock.sendall(hello + name + pad[0] + secret + pad[1])
    status, reason_length, _, _, extra = struct.unpack("<BBHHH", wire.read(8))
    body = wire.read(extra * 4)
    if status != 1:
        reason = body[:reason_length].decode("latin-1").strip() if status == 0 else "it asks for more"
        raise DeviceError(f"{what} refuses us: {reason}", "set XAUTHORITY to the session's cookie file")
    (ids,) = struct.unpack_from("<I", body, 4)
    (vendor_length,) = struct.unpack_from("<H", body, 16)
    formats = body[21]
    screen = 32 + vendor_length + (-vendor_length % 4) + 8 * formats
    (root,) = struct.unpack_from("<I", body, screen)
    width, height = struct.unpack_from("<HH", body, screen + 20)
    return root, ids, X11Display(number, width, height, body[screen + 38])


def _authorization(number: int, env: Mapping[str, str]) -> tuple[bytes, bytes]:
    """(protocol name, cookie) for the display from the Xauthority file, or two empty strings."""
    path = Path(env.get("XAUTHORITY") or Path(env.get("HOME", "/")) / ".Xauthority")
    try:
        data = path.read_bytes()[: 1 << 20]
    except OSError:
        return b"", b""
    at = 0

    def field() -> bytes:
        nonlocal at
        (size,) = struct.unpack_from(">H", data, at)
        at += 2 + size
        return data[at - size : at]

    try:
        while at < len(data):
            (family,) = struct.unpack_from(">H", data, at)
            at += 2
            _, shown, name, secret = field(), field(), field(), field()
            if family in (_FAMILY_LOCAL, _FAMILY_WILD) and shown in (b"", str(number).encode()):
                return name, secret
    except struct.error:
        pass
    return b"", b""


def _has_xwayland_output(wire: _Wire, root: int) -> bool:
    """Xwayland before 23.1 has no XWAYLAND extension, but names its outputs XWAYLAND0 …"""
    randr = wire.extension("RANDR")
    if randr is None or not wire.request(randr, 0, struct.pack("<II", 1, 3)):
        return False
    resources = wire.request(randr, 25, struct.pack("<I", root))
    if not resources:
        return False
    crtcs, outputs = struct.unpack_from("<HH", resources, 16)
    (stamp,) = struct.unpack_from("<I", resources, 8)
    for output in struct.unpack_from(f"<{outputs}I", resources, 32 + 4 * crtcs):
        info = wire.request(randr, 9, struct.pack("<II", output, stamp))
        if info:
            n_crtcs, n_modes, _, n_clones, name_length = struct.unpack_from("<HHHHH", info, 26)
            start = 36 + 4 * (n_crtcs + n_modes + n_clones)
            if info[start : start + name_length].upper().startswith(b"XWAYLAND"):
                return True
    return False
