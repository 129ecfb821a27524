"""Picture files that are whole or not there: written under a hidden name, brought to the disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                hidden.write_bytes(data)
            except BaseException:
                hidden.unlink(missing_ok=True)
                raise
        self._waiting.append((hidden, path))
        if len(self._waiting) >= self.BATCH:
            self.settle()

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
