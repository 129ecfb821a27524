"""`noctule volume 40`, `noctule volume up`, `noctule volume off`: the loudspeaker, without saying a word."""

from __future__ import annotations

import argparse
from typing import Any

from noctule.assistant.actions.volume import STEP
from noctule.cli.common import client, say, socket_argument
from noctule.core.errors import InputError

HELP = "show or change the loudspeaker's volume (40, up, down, off, on)"
_WORDS: dict[str, dict[str, Any]] = {
    "up": {"by": STEP}, "down": {"by": -STEP}, "off": {"mute": True}, "on": {"mute": False},
}  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", nargs="?", metavar="LEVEL", help="0 to 100, up, down, off or on")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    daemon = client(options)
    level = options.level
    if level is None:
        now = daemon.get("/volume")
    elif level in _WORDS:
        now = daemon.post("/volume", _WORDS[level])
    elif level.isascii() and level.isdigit():
        now = daemon.post("/volume", {"set": int(level)})
    else:
        raise InputError(f"{level!r} is no volume.", "0 to 100, up, down, off or on")
    if now["volume"] is None:
        say(f"There is no volume to show. {now['why']}")
        return 0
    say(f"The volume is {now['volume']} percent{' (switched off)' if level == 'off' else ''}.")
    return 0
