"""What the daemon and its children hold, from /proc: memory, descriptors, threads."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Holding:
    """pss, rss: bytes (shared pages counted in part, and whole); heap: anonymous bytes, which no other process and no
    file can take back; fds: open descriptors."""

    pid: int
    pss: int
    heap: int
    rss: int
    fds: int
    threads: int


def holding(pid: int) -> Holding:
    """What one process holds. OSError when it is gone."""
    sizes = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    folder = PROC / str(pid)
    return Holding(
        pid,
        sizes["Pss"],
        sizes["Anonymous"],
        sizes["Rss"],
        len(list((folder / "fd").iterdir())),
        len(list((folder / "task").iterdir())),
    )


def thread_names(pid: int) -> dict[int, str]:
    """The kernel's number and name (at most 15 bytes) of each thread of a process. OSError when it is gone."""
    found = {}
    for task in (PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(OSError):  # this thread has ended
            found[int(task.name)] = (task / "comm").read_text(errors="replace").rstrip("\n")
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue  # the thread has ended
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children that were waited for."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    return sum(int(fields[index]) for index in (11, 12, 13, 14)) / 100
