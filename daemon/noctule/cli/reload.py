"""`noctule reload`: the same as `systemctl reload noctule`, with the outcome printed."""

from __future__ import annotations

import argparse

from noctule.assistant.engine_slot import LOAD_LIMIT
from noctule.cli.common import client, say, socket_argument

HELP = "read the configuration again and apply what can change live"


def arguments(parser: argparse.ArgumentParser) -> None:
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    done = client(options, LOAD_LIMIT).post("/reload")  # another model takes its time to load
    for key in done["applied"]:
        say(f"applied: {key}")
    for key in done["restart"]:
        say(f"needs a restart: {key}")
    for key, why in done["failed"].items():
        say(f"not in force: {key}: {why}")
    if not done["applied"] and not done["restart"] and not done["failed"]:
        say("nothing has changed")
    return 1 if done["failed"] else 0
