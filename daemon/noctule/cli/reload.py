"""`noctule reload`: the same as `systemctl reload noctule`, with the outcome printed."""

from __future__ import annotations

import argparse

from noctule.cli.common import client, say, socket_argument

HELP = "read the configuration again and apply what can change live"


def arguments(parser: argparse.ArgumentParser) -> None:
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    done = client(options).post("/reload")
    for key in done["applied"]:
        say(f"applied: {key}")
    for key in done["restart"]:
        say(f"needs a restart: {key}")
    if not done["applied"] and not done["restart"]:
        say("nothing has changed")
    return 0
