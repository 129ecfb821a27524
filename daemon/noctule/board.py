"""Facts about the board, from /proc and /sys. L1. A fact that this board does not offer is None, never a guess."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")


def resident_bytes(proc: Path = PROC) -> int | None:
    """Resident memory of this process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((proc / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def temperature_c(sys: Path = SYS) -> float | None:
    """The hottest thermal zone, in degrees Celsius; None where the board has no sensor (a virtual machine)."""
    found: list[float] = []
    for zone in sorted((sys / "class/thermal").glob("thermal_zone*/temp")):
        with contextlib.suppress(OSError, ValueError):
            value = int(zone.read_text()) / 1000
            if -50 < value < 150:  # a broken sensor says -127 or 0xffff
                found.append(value)
    return max(found, default=None)
