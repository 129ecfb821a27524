"""One Noctule at a time.

A second daemon would fight over the microphone and the control socket, so `noctule run` holds an exclusive
flock(2) on a file beside the socket for as long as it lives. The kernel drops the lock with the process, so a
crash leaves nothing to clean up. The holder removes the file when it ends; one that had opened it just before sees
that its file has no name any more, and opens the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

from noctule.core.errors import BusyError, DeviceError


class InstanceLock:
    """Holds `path` locked from creation to `release`. Raises BusyError when another process holds it."""

    _mine = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        while self._fd < 0 or not self._named():
            self.release()
            self._take()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        self._mine = True

    def _named(self) -> bool:
        """Whether the file that is locked is the one that others will find."""
        try:
            there = self.path.stat(follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._fd))

    def _take(self) -> None:
        path = self.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
        except OSError as error:
            raise DeviceError(
                f"The lock file {path} cannot be opened: {error.strerror}.",
                "api.socket must lie in a folder that the service may write to",
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise DeviceError(f"The lock file {path} is not a regular file.", "remove it")
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            self._fd = -1
            raise BusyError(
                f"Another noctule is running{f' (process {holder})' if holder.isdigit() else ''}.",
                "stop it first: systemctl stop noctule",
            ) from None
        except DeviceError:
            os.close(self._fd)
            self._fd = -1
            raise

    def release(self) -> None:
        """Let another instance start. Safe to call twice."""
        if self._fd >= 0:
            if self._mine and self._named():
                with contextlib.suppress(OSError):
                    self.path.unlink()
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> InstanceLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.release()
