"""Starting and ending a capture process. It is killed, not asked, when it does not answer: drivers hang."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import noctule
from noctule.capture.process import wire
from noctule.capture.spec import SourceSpec

#: the system's own Python, where camera libraries live that no package index has (libcamera, GStreamer).
SYSTEM_PYTHON = Path("/usr/bin/python3")
_STDERR_TAIL = 2000


def child_environment() -> dict[str, str]:
    """What a capture process finds around it: this very package, also under another interpreter."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(noctule.__file__).resolve().parent.parent),
        # no modules from whatever folder the command was typed in (Python 3.11 and later)
        "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "LIBCAMERA_LOG_LEVELS": "*:ERROR",
    }


def helper_command(fd: int, kinds: Sequence[str]) -> list[str]:
    """What a helper runs to serve the connection `fd`; the process refuses everything but `kinds`."""
    return [sys.executable, "-m", "noctule.capture.process.child", str(fd), str(os.getpid()), ",".join(kinds)]


class CaptureProcess:
    """One child with its socket. `python`: whose interpreter runs it."""

    def __init__(self, spec: SourceSpec, python: str = sys.executable, command: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock = ours
        self._stderr = os.memfd_create("noctule-capture-stderr", os.MFD_CLOEXEC)
        run = list(command) or [python, "-m", "noctule.capture.process.child"]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*run, str(theirs.fileno()), str(os.getpid())],
                    pass_fds=[theirs.fileno()],
                    env=child_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._stderr,
                )
        except OSError:
            ours.close()
            os.close(self._stderr)
            raise
        self.pid = self._process.pid
        with contextlib.suppress(wire.Closed):
            wire.send(ours, {"t": "open", "spec": spec.to_json()})

    def tell(self, message: dict[str, object]) -> None:
        """Send a message to the child; it may be gone."""
        with contextlib.suppress(wire.Closed):
            wire.send(self.sock, message)

    def last_words(self) -> str:
        """Why it ended, when it said nothing itself: the signal, or the last line it wrote to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        size = os.fstat(self._stderr).st_size
        tail = os.pread(self._stderr, _STDERR_TAIL, max(0, size - _STDERR_TAIL)).decode(errors="replace")
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {code}"

    def end(self, patience: float = 0.0) -> bool:
        """Ask it to stop, wait `patience` seconds, kill it. False when even that does not end it in 2 s (a driver
        holds it in the kernel); it then becomes an orphan that dies as soon as the driver lets go."""
        if patience:
            self.tell({"t": "stop"})
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self._process.kill()
        try:
            self._process.wait(2.0)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        self.sock.close()
        os.close(self._stderr)
        return ended
