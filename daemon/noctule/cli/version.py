"""`noctule version`."""

from __future__ import annotations

import argparse

from noctule import __version__
from noctule.cli.common import say

HELP = "print the version"


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> int:
    say(f"noctule {__version__}")
    return 0
