"""Names of XNNPACK's weight cache files: one file per model file, runtime and kind of processor.

The cache holds weights repacked for this processor's kernels. XNNPACK rebuilds one that is cut short or foreign,
but cannot tell that it was made from another model or for another processor (a memory card moved to another
board), so those are in the name.

Building one on a full disk ends the process: XNNPACK maps the file and does not look whether its writes arrived. So
a cache is only built where it has room, and a file beside it (`.whole`) says that it was finished and written out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
from pathlib import Path

from noctule.core.errors import ModelError
from noctule.inference.runtime import Runtime

_SUFFIX = ".xnnpack"
_WHOLE = ".whole"
#: a cache is about as large as its model; bytes that must be free beyond that.
_SPARE = 8 << 20
#: /proc/cpuinfo lines that decide which kernels are chosen (x86, ARM).
_CPU_LINES = ("flags", "features", "cpu implementer", "cpu part", "cpu variant", "model name")


def weight_cache(folder: Path | None, name: str, sha256: str, runtime: Runtime) -> Path | None:
    """The cache file for a model file with this sha256; None without a folder. The folder must exist."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise ModelError(f"{folder}: the folder for weight caches does not exist", "create it, or unset the setting")
    return folder / f"{_stem(name)}{sha256[:16]}-{runtime.version}-{processor()}{_SUFFIX}"


def usable(cache: Path | None, model_bytes: int) -> Path | None:
    """The cache if it is whole or can be built: its folder takes files and has room; else None. What is left of an
    unfinished one is deleted."""
    if cache is None or _is_whole(cache):
        return cache
    with contextlib.suppress(OSError):
        cache.unlink(missing_ok=True)
        if os.access(cache.parent, os.W_OK) and shutil.disk_usage(cache.parent).free > model_bytes * 1.25 + _SPARE:
            return cache
    return None


def keep(cache: Path) -> None:
    """The model that was loaded with it has proved itself: write it out, and note that it is whole."""
    if _is_whole(cache):
        return
    with contextlib.suppress(OSError), cache.open("rb") as file:
        os.fsync(file.fileno())
        cache.with_name(cache.name + _WHOLE).write_text(str(cache.stat().st_size))


def discard(cache: Path) -> None:
    """It is damaged: the next load builds it anew."""
    cache.with_name(cache.name + _WHOLE).unlink(missing_ok=True)
    cache.unlink(missing_ok=True)


def _is_whole(cache: Path) -> bool:
    try:
        return cache.with_name(cache.name + _WHOLE).read_text() == str(cache.stat().st_size)
    except OSError:
        return False


def forget_others(cache: Path, name: str) -> list[Path]:
    """Delete caches of earlier builds of the same package; returns what was deleted."""
    gone = [path for path in cache.parent.glob(f"{_stem(name)}*{_SUFFIX}") if _old(path, cache, name)]
    for path in gone:
        discard(path)
    return gone


def _old(path: Path, cache: Path, name: str) -> bool:
    rest = path.name[len(_stem(name)) :]
    return path != cache and re.match(r"[0-9a-f]{16}-", rest) is not None


def _stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name) + "-"


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Eight hexadecimal digits that change with the kind of processor."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = {line for line in text.splitlines() if line.lower().split(":")[0].strip() in _CPU_LINES}
    return hashlib.sha256("\n".join([platform.machine(), *sorted(lines)]).encode()).hexdigest()[:8]
