"""Where pictures and clips are kept: whole files only, within a quota, an age and the disk's free space.

A file appears under its name only when all of it is on the disk (written under a hidden name, fsync, rename), so a
crash leaves no half picture; hidden leftovers are removed at the next start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from noctule.capture.files.files import HIDDEN, DiskFullError, write_file, writing
from noctule.core.errors import NoctuleError
from noctule.core.names import id_of


@dataclass(frozen=True)
class StoreLimits:
    """quota: bytes per source; max_age: seconds, 0 for ever; min_free: bytes that stay free on the disk."""

    quota: int = 512 << 20
    max_age: float = 30 * 86400.0
    min_free: int = 500 << 20


def safe_name(name: str) -> str:
    """A source's name as a folder's: no separators, no leading dots, no two names the same."""
    return id_of(name, also="_.-", most=80, plain=False)


class Store:
    """The picture folder. Thread-safe."""

    def __init__(
        self, folder: Path, limits: Callable[[], StoreLimits], free: Callable[[Path], int] | None = None
    ) -> None:
        self.folder, self._limits = folder, limits
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._lock = threading.Lock()
        self._number = 0

    def clean(self) -> int:
        """Remove what a crash left half written; returns how many files."""
        found = list(self.folder.glob(f"*/{HIDDEN}*")) if self.folder.is_dir() else []
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def put(self, source: str, suffix: str, data: bytes, wall: float | None = None) -> Path:
        """Store a picture; returns where. FullError when the limits leave no room even without the oldest."""
        path = self.new_path(source, suffix, len(data), wall)
        write_file(path, data)
        return path

    def new_path(self, source: str, suffix: str, size: int, wall: float | None = None) -> Path:
        """A name for a new file of about `size` bytes, after making room for it."""
        folder = self.folder / safe_name(source)
        with self._lock, writing(folder / "picture"):
            folder.mkdir(parents=True, exist_ok=True)
            self._make_room(folder, size)
            now = time.time() if wall is None else wall
            stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
            self._number += 1
            return folder / f"{stamp}-{int(now * 1000) % 1000:03d}-{self._number:04d}{suffix}"

    def _make_room(self, folder: Path, size: int) -> None:
        limits = self._limits()
        files = sorted(_files(folder), key=lambda item: item[1].st_mtime)
        if limits.max_age:
            oldest = time.time() - limits.max_age
            for path, about in list(files):
                if about.st_mtime < oldest:
                    path.unlink(missing_ok=True)
                    files.remove((path, about))
        used = sum(about.st_size for _, about in files)
        while files and (used + size > limits.quota or self._free(folder) - size < limits.min_free):
            path, about = files.pop(0)
            path.unlink(missing_ok=True)
            used -= about.st_size
        if used + size > limits.quota:
            raise DiskFullError(
                f"a file of {size} bytes is larger than the quota of {folder.name}", "raise capture.quota_mb"
            )
        if self._free(folder) - size < limits.min_free:
            raise DiskFullError(
                f"less than {limits.min_free >> 20} MB would be free on the disk of {self.folder}",
                "free some space, or lower capture.min_free_mb",
            )

    def sweep(self) -> int:
        """Apply age and quota everywhere, as a timer does; returns how many files went."""
        before = sum(len(_files(folder)) for folder in self._folders())
        for folder in self._folders():
            with self._lock, contextlib.suppress(NoctuleError, OSError):
                self._make_room(folder, 0)
        return before - sum(len(_files(folder)) for folder in self._folders())

    def _folders(self) -> list[Path]:
        return [p for p in self.folder.iterdir() if p.is_dir()] if self.folder.is_dir() else []


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.iterdir():
        if not path.name.startswith("."):
            with contextlib.suppress(OSError):
                found.append((path, path.stat()))
    return found
