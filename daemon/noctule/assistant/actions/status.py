"""status: temperature, memory, disk, uptime, from the kernel's files. What the board cannot tell is said so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.numbers import say_duration
from noctule.assistant.phrases.request import Request
from noctule.core.errors import UnavailableError
from noctule.service.board import temperature_c

_GB = 1e9


class BoardStatus:
    """Reads the board. proc, sys: roots of the kernel's file systems; disk: any path on the disk to report."""

    def __init__(self, disk: Path, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._disk = disk
        self._proc = proc
        self._sys = sys

    def temperature(self) -> tuple[str, dict[str, float]]:
        """The hottest sensor. UnavailableError where there is none."""
        value = temperature_c(self._sys)
        if value is None:
            raise UnavailableError("This board has no temperature sensor that I can read.")
        return f"The board is at {value:.0f} °C", {"temperature_c": round(value, 1)}

    def memory(self) -> tuple[str, dict[str, float]]:
        """Memory that programs can still get, and all of it."""
        try:
            lines = (self._proc / "meminfo").read_text(encoding="ascii").splitlines()
            facts = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
            free, total = facts["MemAvailable"], facts["MemTotal"]
        except (OSError, ValueError, KeyError, IndexError):
            raise UnavailableError("The kernel does not tell how much memory is free.") from None
        return f"{free / _GB:.1f} of {total / _GB:.1f} GB memory are free", {"free_bytes": free, "total_bytes": total}

    def disk(self) -> tuple[str, dict[str, float]]:
        """Space on the disk that holds the service's state."""
        try:
            usage = shutil.disk_usage(self._disk)
        except OSError as error:
            raise UnavailableError(f"The disk of {self._disk} cannot be read: {error.strerror}.") from None
        return (
            f"{usage.free / _GB:.1f} of {usage.total / _GB:.1f} GB disk space are free",
            {"free_bytes": usage.free, "total_bytes": usage.total},
        )

    def uptime(self) -> tuple[str, dict[str, float]]:
        """Time since the board was started."""
        try:
            seconds = float((self._proc / "uptime").read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            raise UnavailableError("The kernel does not tell how long it has been running.") from None
        # Seconds matter to nobody after the first minute.
        shown = seconds if seconds < 60 else seconds - seconds % 60
        return f"The board has been up for {say_duration(shown)}", {"uptime_s": seconds}

    def report(self, what: str) -> Result:
        """One of them, or "all": then what is not available is left out, and said if nothing is."""
        readers: dict[str, Callable[[], tuple[str, dict[str, float]]]] = {
            "temperature": self.temperature,
            "memory": self.memory,
            "disk": self.disk,
            "uptime": self.uptime,
        }
        if what != "all":
            text, data = readers[what]()
            return Result({"status": text}, {what: data})
        said, facts = [], {}
        for name, reader in readers.items():
            try:
                text, data = reader()
            except UnavailableError:
                continue
            said.append(text)
            facts[name] = data
        if not said:
            raise UnavailableError("This board tells nothing about itself.")
        return Result({"status": ". ".join(said)}, facts)


def bind_status(registry: ActionRegistry, board: BoardStatus) -> None:
    """Bind status."""

    def handler(call: Call, request: Request) -> Result:
        return board.report(call.arguments["what"].text)

    registry.bind("status", handler)
