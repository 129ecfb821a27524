"""One small file of lasting state: whole or not at all, whatever moment the power is cut.

    write   a hidden file beside it, fsync, rename over it, fsync of the folder: a reader sees the old or the new
    read    what is no JSON object is set aside as NAME.corrupt-TIME, said, and treated as missing

Symbolic links are refused: whoever can place one in the state folder must not choose what is read or overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from noctule.core.errors import DeviceError
from noctule.core.events import Bus

#: bytes of the largest file that is read; a thousand timers take a tenth of it.
LIMIT = 1 << 20
#: files set aside beyond this many are not kept: a board that corrupts its disk must not fill it.
_MOST_ASIDE = 8
T = TypeVar("T")


class StateFile:
    """path: in the service's state folder; part: who says what happened to it. Thread-safe."""

    def __init__(self, path: Path, bus: Bus, part: str) -> None:
        self.path = path
        self._bus, self._part = bus, part
        self._lock = threading.Lock()

    def write(self, data: Mapping[str, Any]) -> None:
        """Replace the file; on the disk when this returns. Raises OSError, and the old one is then still there."""
        text = json.dumps(data, ensure_ascii=False).encode()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fresh = f".{self.path.name}.new"
            try:
                with contextlib.suppress(FileNotFoundError):  # what a cut left half written
                    os.unlink(fresh, dir_fd=folder)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(fresh, flags, 0o600, dir_fd=folder)
                with open(descriptor, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(fresh, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(fresh, dir_fd=folder)
                raise
            finally:
                os.close(folder)

    def keep(self, data: Mapping[str, Any], what: str) -> bool:
        """As `write`, for what is in force already: False, and said, when it will be forgotten at the next start."""
        try:
            self.write(data)
        except OSError as error:
            self._bus.publish(
                "state.not_kept", self._part, f"{what} is in force but could not be kept: {error.strerror}", 4,
                file=str(self.path),
            )  # fmt: skip
            return False
        return True

    def read(self, parse: Callable[[dict[str, Any]], T]) -> T | None:
        """What `parse` makes of the file; None where there is none or it had to be set aside.

        parse: raises ValueError, KeyError or TypeError for an object that makes no sense.
        """
        try:
            text = self._text()
            if text is None:
                return None
            data = json.loads(text.decode("utf-8-sig"))
            if not isinstance(data, dict):
                raise ValueError("not an object")
            return parse(data)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            self._set_aside("is damaged")
        except DeviceError as error:
            self._set_aside(error.message)
        except OSError as error:
            self._bus.publish(
                "state.set_aside", self._part, f"{self.path} cannot be read: {error.strerror}; going on without it", 4
            )
        return None

    def _text(self) -> bytes | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DeviceError("is a symbolic link, which is not followed") from None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DeviceError("is not a plain file")
        with open(descriptor, "rb") as file:
            text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise ValueError("too large")
        return text

    def _set_aside(self, why: str) -> None:
        prefix = f"{self.path.name}.corrupt-"
        aside = self.path.with_name(prefix + time.strftime("%Y%m%dT%H%M%S") + f"-{time.monotonic_ns() % 10**6:06d}")
        said = f"{self.path} {why}"
        try:
            older = sorted(path for path in self.path.parent.iterdir() if path.name.startswith(prefix))
            for path in older[: max(0, len(older) + 1 - _MOST_ASIDE)]:
                path.unlink()
            self.path.rename(aside)
            said += f" and was renamed to {aside.name}"
        except OSError as error:  # a read-only folder: going on without it all the same
            said += f" and could not be renamed ({error.strerror})"
        self._bus.publish("state.set_aside", self._part, said, 4, file=str(self.path))
