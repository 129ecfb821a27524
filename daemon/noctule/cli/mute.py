"""`noctule mute`: close the microphone; `noctule mute off` opens it again."""

from __future__ import annotations

import argparse

from noctule.cli.common import client, say, socket_argument

HELP = "close the microphone (mute off: open it again)"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("state", nargs="?", choices=("on", "off"), default="on")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    answer = client(options).post("/mute", {"on": options.state == "on"})
    now = "closed" if answer["muted"] else "open"
    say(f"The microphone is {now}{'' if answer['changed'] else ' (it already was)'}.")
    return 0
