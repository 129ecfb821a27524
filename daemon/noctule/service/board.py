"""Facts about the board, from /proc and /sys. A fact that this board does not offer is None, never a guess.

Where they are: the kernel's Documentation/ABI/testing/sysfs-class-thermal and sysfs-class-hwmon, accounting/psi.rst,
admin-guide/cgroup-v2.rst; `get_throttled` is the Raspberry Pi firmware's (drivers/firmware/raspberrypi.c; bits as
`vcgencmd get_throttled` documents them), `oc*_event_cnt` the Jetson's over-current counters (its Developer Guide).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
SYS = Path("/sys")
#: bytes of the longest file that is read here; the kernel's are shorter.
_LONGEST = 65_536


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


@dataclass(frozen=True)
class Readings:
    """One look at the board; None for what it does not tell.

    temperature_c: hottest zone; throttled: the Pi firmware's bits, 0 under-voltage, 1 frequency capped, 2 throttled,
    3 soft temperature limit, all "now"; voltage_alarm: the Pi's hwmon alarm; overcurrents: events since the boot;
    available: share of the memory that programs can still get; memory_pressure: percent of the last 10 s in which
    some program waited for memory; group_use: share of the service's own bound; group_highs: times it was held at it.
    """

    temperature_c: float | None = None
    throttled: int | None = None
    voltage_alarm: bool | None = None
    overcurrents: int | None = None
    available: float | None = None
    available_bytes: int | None = None
    memory_pressure: float | None = None
    group_use: float | None = None
    group_highs: int | None = None

    def facts(self) -> dict[str, Any]:
        """What is known, JSON-able."""
        known = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in known.items()}


class Board:
    """proc, sys: roots of the kernel's file systems; tests give folders with files as a board has them."""

    def __init__(self, proc: Path = PROC, sys: Path = SYS) -> None:
        self.proc, self.sys = proc, sys

    def read(self) -> Readings:
        """Everything at once; costs well under a millisecond."""
        memory = self._memory()
        group = self._group()
        return Readings(
            temperature_c=temperature_c(self.sys),
            throttled=self._throttled(),
            voltage_alarm=self._voltage_alarm(),
            overcurrents=self._overcurrents(),
            available=memory[0] / memory[1] if memory is not None else None,
            available_bytes=memory[0] if memory is not None else None,
            memory_pressure=_pressure(_text(self.proc / "pressure/memory")),
            group_use=group[0],
            group_highs=group[1],
        )

    def available_bytes(self) -> int | None:
        """Bytes that this service can still get: of the machine's memory, and of its own bound where it has one."""
        memory = self._memory()
        room = [memory[0]] if memory is not None else []
        for folder in self._groups():
            used = _number(folder / "memory.current")
            # inactive file pages are given back before anybody is held up
            cached = _entry(_text(folder / "memory.stat"), "inactive_file") or 0
            bounds = [b for name in ("memory.high", "memory.max") if (b := _number(folder / name)) is not None]
            if used is not None and bounds:
                room.append(max(0, min(bounds) - used + cached))
        return min(room, default=None)

    def _throttled(self) -> int | None:
        for path in sorted((self.sys / "devices/platform").glob("soc*/soc*:firmware/get_throttled")):
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text().strip(), 16)
        return None

    def _voltage_alarm(self) -> bool | None:
        for name in sorted((self.sys / "class/hwmon").glob("hwmon*/name")):
            if (_text(name) or "").strip() == "rpi_volt":
                alarm = _number(name.with_name("in0_lcrit_alarm"))
                return None if alarm is None else bool(alarm)
        return None

    def _overcurrents(self) -> int | None:
        counts = [_number(path) for path in (self.sys / "class/hwmon").glob("hwmon*/oc*_event_cnt")]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    def _memory(self) -> tuple[int, int] | None:
        """(available, total) bytes."""
        text = _text(self.proc / "meminfo")
        free, total = _entry(text, "MemAvailable:"), _entry(text, "MemTotal:")
        return (free * 1024, total * 1024) if free is not None and total else None

    def _groups(self) -> Iterator[Path]:
        """Our control group's folder and those above it, as far as they can be seen (cgroup v2)."""
        for line in (_text(self.proc / "self/cgroup") or "").splitlines():
            number, _, rest = line.partition(":")
            name = rest.partition(":")[2].strip("/")
            if number == "0" and ".." not in name.split("/"):
                root = self.sys / "fs/cgroup"
                folder = root / name
                while folder != root:
                    yield folder
                    folder = folder.parent

    def _group(self) -> tuple[float | None, int | None]:
        """The tightest share of a bound in use, and how often we were held at one."""
        shares: list[float] = []
        highs: list[int] = []
        for folder in self._groups():
            used = _number(folder / "memory.current")
            cached = _entry(_text(folder / "memory.stat"), "inactive_file") or 0
            bounds = [b for name in ("memory.high", "memory.max") if (b := _number(folder / name))]
            if used is not None and bounds:
                shares.append(max(0, used - cached) / min(bounds))
            high = _entry(_text(folder / "memory.events"), "high")
            if high is not None:
                highs.append(high)
        return max(shares, default=None), sum(highs) if highs else None


def _text(path: Path) -> str | None:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return None


def _number(path: Path) -> int | None:
    """A file with one whole number; None for "max" and for what is none."""
    with contextlib.suppress(ValueError):
        return int((_text(path) or "").strip())
    return None


def _entry(text: str | None, name: str) -> int | None:
    """The number after `name` in a file of "name number …" lines."""
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == name:
            with contextlib.suppress(ValueError):
                return int(words[1])
    return None


def _pressure(text: str | None) -> float | None:
    """avg10 of the line "some …" of a pressure file."""
    for line in (text or "").splitlines():
        words = line.split()
        if words[:1] == ["some"]:
            with contextlib.suppress(ValueError):
                return next((float(word[6:]) for word in words if word.startswith("avg10=")), None)
    return None
