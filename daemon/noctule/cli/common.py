"""What several verbs share: options, the client, and words for numbers."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noctule.core.errors import InputError

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


def remark(text: str) -> None:
    """One line beside the result: what was assumed, what is left out, how long it will take."""
    with contextlib.suppress(OSError):
        print(f"note: {printable(text)}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """One line beside the result: what of the input is not as it should be."""
    print(f"noctule: warning: {printable(sentence)}", file=sys.stderr)


def check_output(path: Path, *suffixes: str) -> None:
    """The rule for every file a command writes: its folder is there, and its format is that of its name.

    suffixes: the formats there are, as ".jpg". Raises InputError.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: is written as {' or '.join(suffixes)}, which its name must end in")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    _check_parent(path)


def check_folder(path: Path) -> None:
    """The same rule for a folder of results, which is made when its own folder is there."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; name a folder")
    if not path.is_dir():
        _check_parent(path)


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}", f"mkdir -p {path.parent}")


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
