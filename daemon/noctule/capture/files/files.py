"""Picture files that are whole or not there: written under a hidden name, brought to the disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from noctule.core.errors import DeviceError

HIDDEN = ".new-"


class DiskFullError(DeviceError):
    """The disk or the quota has no room."""

    code = "full"


def _hidden(path: Path) -> Path:
    return path.with_name(f"{HIDDEN}{os.getpid()}-{threading.get_ident()}-{path.name}")


def _fsync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A hidden path to write to; what was written appears as `path`, on the disk, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = _hidden(path)
    try:
        yield hidden
        with hidden.open("rb") as file:
            os.fsync(file.fileno())
        hidden.replace(path)
        _fsync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """`data` as the file `path`, all or nothing. DeviceError when the disk is full or the folder is not ours."""
    with writing(path), atomic_file(path) as hidden:
        hidden.write_bytes(data)


class FolderWriter:
    """Many files of one folder, all or nothing each, at a fraction of the cost: they are written under hidden names,
    and `settle`, called every `BATCH` files and at the end, brings all of them to the disk and then shows them."""

    BATCH = 64

    def __init__(
        self, folder: Path, min_free: int = 0, free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    ) -> None:
        """min_free: bytes that stay free on the disk, as the store keeps them; asked for once a batch."""
        self._folder, self._min_free, self._free = folder, min_free, free
        self._budget = 0
        self._waiting: list[tuple[Path, Path]] = []

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """What is whole is kept, even when what came after it failed."""
        self.settle()

    def write(self, name: str, data: bytes) -> None:
        """Raises DeviceError when the disk is full or the folder is not ours."""
        path = self._folder / name
        hidden = _hidden(path)
        with writing(path):
            self._folder.mkdir(exist_ok=True)
            self._guard(len(data))
            try:
                hidden.write_bytes(data)
            except BaseException:
                hidden.unlink(missing_ok=True)
                raise
        self._waiting.append((hidden, path))
        if len(self._waiting) >= self.BATCH:
            self.settle()

    def _guard(self, size: int) -> None:
        """Raises DiskFullError where `size` bytes more would leave too little; looked up each batch."""
        if not self._min_free:
            return
        if size > self._budget or not self._waiting:
            self._budget = self._free(self._folder) - self._min_free
        self._budget -= size
        if self._budget < 0:
            raise DiskFullError(
                f"less than {self._min_free >> 20} MB would be free on the disk of {self._folder}",
                "free some space, or lower capture.min_free_mb",
            )

    def settle(self) -> None:
        """Everything written so far is on the disk and visible when this returns."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        with writing(waiting[-1][1]):
            try:
                for hidden, _ in waiting:
                    with hidden.open("rb") as file:
                        os.fsync(file.fileno())
                for hidden, path in waiting:
                    hidden.replace(path)
                _fsync_folder(self._folder)
            finally:
                for hidden, _ in waiting:
                    hidden.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what is wrong when a file cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise DiskFullError(f"{path.parent} has no room for {path.name}: the disk is full") from None
        raise DeviceError(f"{path} cannot be written: {error.strerror}") from None
