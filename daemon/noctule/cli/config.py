"""`noctule config check` and `noctule config show`: work alone, without a daemon."""

from __future__ import annotations

import argparse
from pathlib import Path

from noctule.cli.common import config_arguments, load, say
from noctule.config.render import show
from noctule.core.errors import ConfigError

HELP = "check the configuration, or show it as it is merged from all places"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="check | show", required=True)
    check = verbs.add_parser("check", help="name every mistake as file:line: key: what is wrong; exit status 78")
    check.add_argument("file", nargs="?", type=Path, metavar="FILE", help="instead of the installed file")
    shown = verbs.add_parser("show", help="print every setting with its value")
    shown.add_argument("--origin", action="store_true", help="say where each value was set")
    for sub in (check, shown):
        config_arguments(sub)


def run(options: argparse.Namespace) -> int:
    if options.what == "check" and options.file is not None:
        options.config = options.file
    if options.what == "show":
        say(show(load(options), options.origin), end="")
        return 0
    from noctule.cli.rules import absences, load_checked

    loaded = load_checked(options)
    problems = absences(loaded)
    if problems:
        raise ConfigError(problems, "the service starts, and does without these")
    for path in loaded.files:
        say(f"{path}: ok")
    if not loaded.files:
        say("there is no configuration file: every setting has its default")
    return 0
