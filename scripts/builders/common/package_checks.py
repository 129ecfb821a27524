"""Checks before a package is built, so that a long export does not fail at its end.

The folder itself is written by `noctule.inference.manifest.PackageWriter`: whole, verified and renamed, or not
at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from noctule.core.errors import InputError
from noctule.inference.manifest import MANIFEST

_MEMINFO = Path("/proc/meminfo")


def check_destination(folder: Path) -> None:
    """Refuse to replace anything that is not a package, and folders that cannot be written."""
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} exists and is not a model package", "choose another folder; this one will not be replaced"
        )
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise InputError(f"{parent}: no such folder", "create it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{parent} cannot be written to")


def check_space(folder: Path, needed: int) -> None:
    """`needed`: bytes that the build will hold at its largest, beside the destination."""
    free = shutil.disk_usage(folder.absolute().parent).free
    if free < needed:
        raise InputError(
            f"{folder.absolute().parent} has {free / 1e9:.1f} GB free, the export needs {needed / 1e9:.1f} GB",
            "free some space or choose a folder on another disk",
        )


def check_memory(needed: int) -> None:
    """Refuse an export that this machine cannot hold; `needed`: bytes. Silent where the kernel tells nothing."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    fields = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines)}
    free = fields.get("MemAvailable", needed) + fields.get("SwapFree", 0)
    if free < needed:
        raise InputError(
            f"the export needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
            "close other programs, add swap, or export on a larger machine",
        )
