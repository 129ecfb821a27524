"""Is the device there? A cheap look (microseconds to 0.5 s) that saves starting a process in vain, and notices at
once when something that was missing has come back. Streams are not looked for: a server may take one visitor only,
and the look would be it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from noctule.capture.process.discover import resolve
from noctule.capture.protocols import wayland as wlwire
from noctule.capture.protocols.x11 import probe
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError


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


def _display(spec: SourceSpec) -> None:
    resolve(spec)


def _wayland(spec: SourceSpec) -> None:
    """Only whether the socket is there: asking a compositor costs it more than asking an X server."""
    found = [p for p in wlwire.sockets() if not spec.address or spec.address in (p.name, str(p))]
    if not found and not (spec.address.startswith("/") and Path(spec.address).exists()):
        raise DeviceError(
            f"there is no Wayland display {spec.address}".rstrip() + " that this user can see",
            "`noctule sources` lists what there is",
        )


_LOOKS: dict[str, Callable[[SourceSpec], None]] = {
    "display": _display,
    "wayland": _wayland,
    "x11": _x11,
    "v4l2": _device,
    "kms": _device,
    "file": _file,
}
