"""What several verbs share: options, the client, and words for numbers. L5."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a verb that needs neither daemon nor configuration does not pay for them
    from noctule.api.client import Client
    from noctule.config import LoadedConfig


def socket_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's control socket")


def client(options: argparse.Namespace, timeout: float = 30.0) -> Client:
    """A client of the daemon: --socket, then NOCTULE_SOCKET, then the configured one."""
    from noctule.api.client import Client
    from noctule.config.schema import Api

    named = options.socket or os.environ.get("NOCTULE_SOCKET")
    return Client(Path(named) if named else Api().socket, timeout)


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="the main configuration file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="a setting above all files"
    )


def load(options: argparse.Namespace) -> LoadedConfig:
    """The configuration this command line asks for. Raises ConfigError."""
    from noctule.config import load_config

    named = options.config or os.environ.get("NOCTULE_CONFIG")
    loaded = load_config(Path(named) if named else None, os.environ, options.set)
    if loaded.config.commands or loaded.config.slots:
        from noctule.assistant.grammar.check import check_phrases

        check_phrases(loaded)
    return loaded


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or change its colours."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def say(text: str = "", end: str = "\n") -> None:
    """Print to stdout, also to one that cannot show every character."""
    stream: Any = sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write((text + end).encode(encoding, "replace").decode(encoding))
    stream.flush()


def duration(seconds: float) -> str:
    """12.3 s, 4 min 5 s, 3 h 2 min, 5 d 3 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours, days = int(seconds) // 60, int(seconds) // 3600, int(seconds) // 86400
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def size(count: int) -> str:
    """Bytes as MiB, or GiB where that reads better."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
