"""A board's /proc and /sys as files, with the names and contents that real ones have. Shared by tests."""

from __future__ import annotations

from pathlib import Path

from noctule.service.board import Board

GROUP = "system.slice/noctule.service"
_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


class FakeBoard:
    """Every file is written anew by `set`; None removes it, as on a board that has no such sensor."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys"
        self.board = Board(self.proc, self.sys)
        self.well()

    def well(self) -> None:
        """A Raspberry Pi at rest."""
        self.temperature(48.3)
        self.throttled(0)
        self.alarm(0)
        self.memory(70.0)
        self.pressure(0.0)
        self.put(self.proc / "self/cgroup", f"0::/{GROUP}\n")
        self.group(100, 400)

    def put(self, path: Path, text: str | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)

    def temperature(self, degrees: float | None) -> None:
        zone = self.sys / "class/thermal/thermal_zone0"
        self.put(zone / "temp", None if degrees is None else f"{int(degrees * 1000)}\n")

    def throttled(self, bits: int | None) -> None:
        self.put(
            self.sys / "devices/platform/soc/soc:firmware/get_throttled", None if bits is None else f"{bits:x}\n"
        )

    def alarm(self, value: int | None) -> None:
        chip = self.sys / "class/hwmon/hwmon1"
        self.put(chip / "name", "rpi_volt\n")
        self.put(chip / "in0_lcrit_alarm", None if value is None else f"{value}\n")

    def overcurrents(self, first: int, second: int) -> None:
        chip = self.sys / "class/hwmon/hwmon2"
        self.put(chip / "name", "soctherm_oc\n")
        self.put(chip / "oc1_event_cnt", f"{first}\n")
        self.put(chip / "oc3_event_cnt", f"{second}\n")

    def memory(self, percent: float | None) -> None:
        total = 1_000_000
        text = f"MemTotal: {total} kB\nMemFree: 1000 kB\nMemAvailable: {int(total * (percent or 0) / 100)} kB\n"
        self.put(self.proc / "meminfo", None if percent is None else text)

    def pressure(self, percent: float | None) -> None:
        line = f"avg10={percent or 0:.2f} avg60=0.10 avg300=0.00 total=12345\n"
        self.put(self.proc / "pressure/memory", None if percent is None else f"some {line}full {line}")

    def group(self, used: int, high: int | None, highs: int = 0, cached: int = 0) -> None:
        """In megabytes: used, memory.high (None: max), inactive files; highs: how often it was held at the bound."""
        folder = self.sys / "fs/cgroup" / GROUP
        self.put(folder / "memory.current", f"{used * 1_000_000}\n")
        self.put(folder / "memory.high", f"{high * 1_000_000}\n" if high is not None else "max\n")
        self.put(folder / "memory.max", "max\n")
        self.put(folder / "memory.stat", f"anon 1\ninactive_file {cached * 1_000_000}\nactive_file 2\n")
        self.put(folder / "memory.events", f"low 0\nhigh {highs}\nmax 0\noom 0\noom_kill 0\n")
