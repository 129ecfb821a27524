"""`scripts/bench capture`: how old and how costly a picture is, what happens when a source fails, and files.

A clock is drawn 120 times a second on a real X server (Xvfb) by a process of its own, and read back by the consumer.
Every method runs in a process of its own, one after the other, in each repeat; CPU time is that process with all of
its children (not the X server, whose own share is shown beside it). mss is measured where it is installed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.capture_display import consume, display
from tools.bench.capture_failures import failures
from tools.bench.capture_files import files


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench capture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement (default 6)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats (default 3)")
    parser.add_argument("--only", choices=("display", "failures", "files"), help="one part of it")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--one", nargs=5, metavar=("METHOD", "ADDRESS", "W", "H", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(consume(*options.one)))
        return 0
    found: dict[str, Any] = {}
    if options.only in (None, "display"):
        found["display"] = display(options.seconds, options.repeats)
    if options.only in (None, "failures"):
        found["failures"] = failures()
    if options.only in (None, "files"):
        found["files"] = files()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0
