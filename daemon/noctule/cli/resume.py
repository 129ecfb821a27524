"""`noctule resume [SOURCE]`: let paused cameras and displays be opened again."""

from __future__ import annotations

import argparse

from noctule.cli.common import client, say, socket_argument

HELP = "let paused cameras and displays be opened again"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="only this one")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    names = client(options).post("/resume", {"source": options.source} if options.source else {})["resumed"]
    say(f"resumed: {', '.join(names) or 'nothing'}")
    return 0
