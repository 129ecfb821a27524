"""The verbs of the noctule command. A file for each verb; this one finds it and says its errors in one line.

A verb's module has `HELP` (one line), `arguments(parser)` and `run(options) -> exit status`. To add a verb, write the
module and name it in `VERBS`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from typing import NoReturn

from noctule import __version__
from noctule.core.errors import NoctuleError
from noctule.core.secrets import hide_secrets

#: verb -> its module; the order is the order of the help.
VERBS = {
    "run": "noctule.cli.run",
    "status": "noctule.cli.status",
    "ask": "noctule.cli.ask",
    "tail": "noctule.cli.tail",
    "sources": "noctule.cli.sources",
    "snapshot": "noctule.cli.snapshot",
    "clip": "noctule.cli.clip",
    "extract": "noctule.cli.extract",
    "display": "noctule.cli.display",
    "pause": "noctule.cli.pause",
    "resume": "noctule.cli.resume",
    "reload": "noctule.cli.reload",
    "model": "noctule.cli.model",
    "log": "noctule.cli.log",
    "volume": "noctule.cli.volume",
    "transcribe": "noctule.cli.transcribe",
    "heard": "noctule.cli.heard",
    "say": "noctule.cli.say",
    "bench": "noctule.cli.bench",
    "mute": "noctule.cli.mute",
    "listen": "noctule.cli.listen",
    "wake": "noctule.cli.wake",
    "doctor": "noctule.cli.doctor",
    "config": "noctule.cli.config",
    "version": "noctule.cli.version",
}

EX_USAGE = 64


class UsageError(NoctuleError):
    """The command line itself is wrong."""

    exit_code = EX_USAGE
    code = "usage"


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors as one line and a hint."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}.", f"{self.prog} --help")


def run_command(argv: list[str]) -> int:
    """Parse the command line, run the verb, and turn every error of the family into two lines on stderr."""
    try:
        options = _parse(argv)
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except NoctuleError as error:
        complain(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left, as `| head` does. Python would complain once more when it flushes at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130


def complain(error: NoctuleError) -> None:
    """The sentence and the hint, for people."""
    with contextlib.suppress(OSError):
        for line in hide_secrets(error.message).splitlines() or [error.code]:
            print(f"noctule: {line}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="noctule", description="Ears, eyes and a small language brain for this board.")
    parser.add_argument("--version", action="version", version=f"noctule {__version__}", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    wanted = next((word for word in argv if not word.startswith("-")), "")
    for name, module in VERBS.items():
        # Only the chosen verb is imported; the others are listed by their help alone.
        if name == wanted or wanted not in VERBS:
            found = importlib.import_module(module)
            sub = verbs.add_parser(name, help=found.HELP, description=found.HELP)
            found.arguments(sub)
            sub.set_defaults(run=found.run)
        else:
            verbs.add_parser(name)
    return parser.parse_args(argv)
