"""`noctule doctor`: is everything there, and if not, what to type. Works with and without a running service."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from noctule.cli.common import config_arguments, say, socket_argument
from noctule.core.errors import ConfigError

HELP = "examine this board: what works, what does not, what to type"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    config_arguments(parser)
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    from noctule.cli.preflight import FIX, Doctor, Finding
    from noctule.cli.rules import absences, load_checked
    from noctule.config import LoadedConfig
    from noctule.config.schema import Config

    try:
        loaded = load_checked(options)
        wrong = absences(loaded)
    except ConfigError as error:  # what it can say without the configuration is said all the same
        loaded, wrong = LoadedConfig(Config()), error.problems
    named = options.socket or os.environ.get("NOCTULE_SOCKET")
    socket = Path(named) if named else loaded.config.api.socket
    troubles = 0
    told = (Finding("configuration", FIX, problem, "noctule config check") for problem in wrong)
    for finding in (*told, *Doctor(loaded, socket).examine()):
        troubles += finding.state == FIX
        if options.json:
            say(json.dumps(vars(finding), ensure_ascii=False))
            continue
        say(f"{finding.state:<5} {finding.subject:<14} {finding.text}")
        if finding.hint:
            say(f"{'':<21}{finding.hint}")
    return 1 if troubles else 0
