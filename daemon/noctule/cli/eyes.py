"""What the verbs about pictures share: the running daemon's sources, or our own when there is none."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from noctule.capture.needs import need_capture
from noctule.cli.common import client, config_arguments, load, socket_argument
from noctule.core.errors import NoctuleError
from noctule.core.secrets import hide_address

if TYPE_CHECKING:
    from noctule.api.client import Client
    from noctule.capture.all_sources import Sources

#: memory that reading a file may take (bytes); a crafted one could ask for any amount.
_FILE_MEMORY = 280 << 20


def eyes_arguments(parser: argparse.ArgumentParser) -> None:
    socket_argument(parser)
    config_arguments(parser)


def daemon(options: argparse.Namespace, name: str, timeout: float = 30.0) -> Client | None:
    """The running daemon when it has a source called `name`; None when we must look ourselves: it does not run, or
    `name` is an address. A source that only the daemon does not know is looked for in the configuration too."""
    from noctule.capture.spec import parse_address

    if parse_address(name) is not None:
        return None
    try:
        service = client(options, timeout)
        names = [source["name"] for source in service.get("/sources")["sources"]]
    except NoctuleError:
        return None
    return service if name in names or name in ("display", "camera") else None


@contextlib.contextmanager
def own_eyes(options: argparse.Namespace, name: str) -> Iterator[Sources]:
    """Our own sources with threads running, `name` (a name or an address) among them."""
    need_capture()
    from noctule.capture.all_sources import Sources

    config = load(options).config
    eyes = Sources(config)
    eyes.watches.clear()
    feed = eyes.find(name)
    eyes.feeds = {name: feed}
    eyes.start()
    try:
        yield eyes
    finally:
        eyes.stop()


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Hold this process to a bound while it reads a file that may be crafted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_FILE_MEMORY if hard == -1 else min(_FILE_MEMORY, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def picture_path(name: str, suffix: str) -> Path:
    """A name in the current folder for a picture of `name`, such as camera-20260131-120000.jpg."""
    from noctule.capture.files.store import safe_name

    return Path(f"{safe_name(hide_address(name))}-{time.strftime('%Y%m%d-%H%M%S')}{suffix}")


class Progress:
    """A bar on stderr, only where that is a terminal."""

    def __init__(self, stream: TextIO | None = None, width: int = 30) -> None:
        self._stream = stream or sys.stderr
        self._width = width
        self._shown = (-1, 0)
        self._on = self._stream.isatty()
        #: pictures so far; and what is to be told at the end.
        self.count = 0
        self.notes: list[str] = []

    def __call__(self, fraction: float) -> None:
        filled = int(max(0.0, min(1.0, fraction)) * self._width)
        if self._on and (filled, self.count) != self._shown:
            self._shown = (filled, self.count)
            bar = f"[{'#' * filled}{'.' * (self._width - filled)}] {fraction:4.0%}"
            self._stream.write(f"\r{bar} {self.count:6d} picture{'' if self.count == 1 else 's'} ")
            self._stream.flush()

    def close(self) -> None:
        if self._on and self._shown[0] >= 0:
            self._stream.write("\r" + " " * (self._width + 26) + "\r")
            self._stream.flush()
