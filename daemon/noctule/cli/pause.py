"""`noctule pause [SOURCE]`: close cameras and displays, and keep them closed until `noctule resume`."""

from __future__ import annotations

import argparse

from noctule.cli.common import client, say, socket_argument

HELP = "close cameras and displays, and keep them closed"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="only this one")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    names = client(options).post("/pause", {"source": options.source} if options.source else {})["paused"]
    say(f"paused: {', '.join(names) or 'nothing'}")
    return 0
