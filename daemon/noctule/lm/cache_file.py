"""Names of XNNPACK's weight cache files: one file per model file, runtime and kind of processor. L2.

The cache holds weights repacked for this processor's kernels. XNNPACK rebuilds one that is cut short or foreign,
but cannot tell that it was made from another model or for another processor (a memory card moved to another
board), so those are in the name.
"""

from __future__ import annotations

import hashlib
import platform
import re
from pathlib import Path

from noctule.errors import ModelError
from noctule.tflite import Runtime

_SUFFIX = ".xnnpack"
#: /proc/cpuinfo lines that decide which kernels are chosen (x86, ARM).
_CPU_LINES = ("flags", "features", "cpu implementer", "cpu part", "cpu variant", "model name")


def weight_cache(folder: Path | None, name: str, sha256: str, runtime: Runtime) -> Path | None:
    """The cache file for a model file with this sha256; None without a folder. The folder must exist."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise ModelError(f"{folder}: the folder for weight caches does not exist", "create it, or unset the setting")
    return folder / f"{_stem(name)}{sha256[:16]}-{runtime.version}-{processor()}{_SUFFIX}"


def forget_others(cache: Path, name: str) -> list[Path]:
    """Delete caches of earlier builds of the same package; returns what was deleted."""
    gone = [path for path in cache.parent.glob(f"{_stem(name)}*{_SUFFIX}") if _old(path, cache, name)]
    for path in gone:
        path.unlink(missing_ok=True)
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
