"""Is the device there? A cheap look (microseconds to 0.5 s) that saves starting a process in vain, and notices at
once when something that was missing has come back."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from noctule.capture.discover import resolve
from noctule.capture.spec import SourceSpec
from noctule.capture.x11probe import probe
from noctule.errors import DeviceError

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


def absence(spec: SourceSpec) -> DeviceError | None:
    """Why `spec` cannot be opened just now, or None when it looks as if it could."""
    look = _LOOKS.get(spec.kind)
    try:
        if look is not None:
            look(spec)
    except DeviceError as error:
        return error
    return None


def _x11(spec: SourceSpec) -> None:
    probe(spec.address, timeout=0.5)


def _device(spec: SourceSpec) -> None:
    path = Path(spec.address)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DeviceError(f"there is no {path}", "is it plugged in? `noctule sources` lists what there is") from None
    except OSError as error:
        raise DeviceError(f"{path} cannot be looked at: {error.strerror}") from None
    if not stat.S_ISCHR(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a file"
        raise DeviceError(f"{path} is {what}, not a device")
    if not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(f"{path} may not be used by this user", "the user must be in the group that owns it")


def _file(spec: SourceSpec) -> None:
    if not Path(spec.address).exists():
        raise DeviceError(f"there is no file {spec.address}")


def _network(spec: SourceSpec) -> None:
    parts = urlsplit(spec.address)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise DeviceError(f"{spec.label} is not the address of a stream")
    try:
        socket.create_connection((parts.hostname, port), timeout=0.5).close()
    except TimeoutError:
        raise DeviceError(f"{spec.label} cannot be reached", "is it on the network?") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeviceError(f"{spec.label} cannot be reached: {reason}", "is it on the network?") from None


def _display(spec: SourceSpec) -> None:
    resolve(spec)


_LOOKS: dict[str, Callable[[SourceSpec], None]] = {
    "display": _display, "x11": _x11, "v4l2": _device, "kms": _device, "file": _file, "network": _network,
}
