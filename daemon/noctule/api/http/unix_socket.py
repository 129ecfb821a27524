"""Makes the Unix socket that the control API listens on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from noctule.api.http.peer import group_id
from noctule.core.errors import DeviceError, NoctuleError


def bind(path: Path, group: str, key: str = "api.socket") -> socket.socket:
    """A listening Unix socket at `path`, mode 0660, owned by `group` where that group exists.
    `key` is the setting that names it.

    A socket left by a dead daemon is replaced (the instance lock proves that it is dead); anything else at that
    path is somebody's file and is left alone. The socket gets its rights before its name, so no moment exists
    at which others could connect. Raises DeviceError.
    """
    hint = f"{key} must lie in a folder that the service may write to"
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise DeviceError(f"{path} is in the way: it is not a socket.", f"move it away, or change {key}")
        except FileNotFoundError:
            pass
        fresh.unlink(missing_ok=True)
        sock.bind(str(fresh))
        fresh.chmod(0o600)
        gid = group_id(group) if group else None
        if gid is not None and (gid in os.getgroups() or gid == os.getegid() or os.geteuid() == 0):
            _give(fresh, gid, group)
            fresh.chmod(0o660)
        sock.listen(64)
        fresh.rename(path)
    except OSError as error:
        sock.close()
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise DeviceError(f"The socket {path} cannot be made: {error.strerror or error}.", hint) from None
    except NoctuleError:
        sock.close()
        fresh.unlink(missing_ok=True)
        raise
    return sock


def _give(path: Path, gid: int, group: str) -> None:
    """Make `path` belong to a group. The unit's sandbox has no chown(2), and with its own Group= needs none."""
    if path.stat().st_gid != gid:
        try:
            os.chown(path, -1, gid)
        except PermissionError:
            raise DeviceError(
                f"The control socket cannot be given to the group {group}.",
                "the sandbox forbids it: set Group= in the unit to the group that api.group names",
            ) from None
