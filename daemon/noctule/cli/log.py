"""`noctule log level debug`: change the verbosity of the running service; `noctule log level` shows it."""

from __future__ import annotations

import argparse

from noctule.cli.common import client, say, socket_argument
from noctule.service.journal import LEVELS

HELP = "show or change the verbosity of the running service (log level debug)"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="level", required=True)
    level = verbs.add_parser("level", help="the least important messages shown, until the next reload or start")
    level.add_argument("level", nargs="?", choices=tuple(LEVELS))
    socket_argument(level)


def run(options: argparse.Namespace) -> int:
    daemon = client(options)
    answer = daemon.post("/log", {"level": options.level}) if options.level else daemon.get("/log")
    until = "; service.verbosity in the configuration keeps it" if options.level else ""
    say(f"Messages of the level {answer['level']} and above are shown{until}.")
    return 0
