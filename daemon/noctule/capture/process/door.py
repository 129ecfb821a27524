"""Where a helper in somebody's desktop session knocks: it has the screen, and we, a system service, have not.

The helper (`noctule display`, started by noctule-display.service) connects to a socket that only the control group
may open, and waits. When somebody wants to see the display, the feed takes the connection and speaks over it to a
capture process that the helper starts: the same words as to a process of our own.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from noctule.capture.process import wire
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError

#: what a helper's capture process may be asked for; never files.
KINDS = ("display", "wayland", "x11")


class HelperDoor:
    """Listens at `path` (mode 0660, of `group` where there is such a group) while `run` runs."""

    def __init__(self, path: Path, group: str = "") -> None:
        self.path = path
        self._lock = threading.Lock()
        self._waiting: socket.socket | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            old = os.umask(0o177)
            try:
                self._socket.bind(str(path))
            finally:
                os.umask(old)
            with contextlib.suppress(KeyError, PermissionError):
                if group:
                    os.chown(path, -1, grp.getgrnam(group).gr_gid)
                    path.chmod(0o660)
            self._socket.listen(4)
            self._socket.settimeout(0.25)
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"{path} cannot be made: {error.strerror}") from None

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Let helpers in, until `stop`. One waits at a time: the newest."""
        while not stop.is_set():
            beat()
            try:
                helper, _ = self._socket.accept()
            except TimeoutError:
                continue
            with self._lock:
                if self._waiting is not None:
                    self._waiting.close()
                self._waiting = helper

    def waiting(self) -> bool:
        """True when a helper is there (and has not left again)."""
        with self._lock:
            if self._waiting is None:
                return False
            try:
                left = self._waiting.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
            except BlockingIOError:
                left = False
            except OSError:
                left = True
            if left:
                self._waiting.close()
                self._waiting = None
            return not left

    def take(self) -> socket.socket:
        """The waiting helper's connection, the caller's from now on. DeviceError when none is there."""
        if not self.waiting():
            raise absent()
        with self._lock:
            taken, self._waiting = self._waiting, None
        if taken is None:
            raise absent()
        return taken

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
        with self._lock:
            if self._waiting is not None:
                self._waiting.close()
                self._waiting = None


def absent() -> DeviceError:
    """Nobody is logged in to a desktop, or its helper is not running."""
    return DeviceError(
        "no desktop session shows its display to the service",
        "as the desktop's user: systemctl --user enable --now noctule-display",
    )


class HelperProcess:
    """A capture process that a helper started. The same face as process.CaptureProcess."""

    pid = None

    def __init__(self, sock: socket.socket, spec: SourceSpec) -> None:
        self.sock = sock
        self.tell({"t": "open", "spec": spec.to_json()})

    def tell(self, message: dict[str, object]) -> None:
        with contextlib.suppress(wire.Closed):
            wire.send(self.sock, message)

    def last_words(self) -> str:
        return "the desktop session's helper left"

    def end(self, patience: float = 0.0) -> bool:
        """Hang up; the helper kills what it started and comes again."""
        self.tell({"t": "stop"})
        self.sock.close()
        return True
