"""`noctule sources`: the displays and cameras of this machine, what each can do, and why one cannot be used."""

from __future__ import annotations

import argparse
import json
from typing import Any

from noctule.capture.needs import need_capture
from noctule.cli.common import client, printable, say, socket_argument
from noctule.core.errors import NoctuleError

HELP = "list displays and cameras, and why one cannot be used"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    need_capture()
    from noctule.capture.process.discover import everything

    found = everything()
    configured = _configured(options)
    if options.json:
        say(json.dumps({"found": [vars(f) for f in found], "sources": configured}))
        return 0
    for line in words([vars(f) for f in found], configured):
        say(printable(line))
    return 0


def words(found: list[dict[str, Any]], configured: list[dict[str, Any]] | None) -> list[str]:
    """The lines shown."""
    lines = ["On this machine:"] if found else ["This machine has no display or camera that Noctule knows."]
    for item in found:
        state = "usable" if not item["problem"] else item["problem"] + (f" ({item['hint']})" if item["hint"] else "")
        lines += [f"  {item['address']:<22} {item['about']}", f"  {'':<22} {state}"]
    if configured is None:
        return [*lines, "The daemon is not running; these can be used as addresses: noctule snapshot ADDRESS"]
    lines.append("In the daemon:" if configured else "The daemon has no sources.")
    for source in configured:
        rate = f", {source['fps']:g} pictures/s" if source["state"] == "live" else ""
        lines.append(f"  {source['name']:<22} {source['kind']} {source['address']}: {source['state']}{rate}")
        if source["last_error"]:
            lines.append(f"  {'':<22} {source['last_error']}" + (f" ({source['hint']})" if source["hint"] else ""))
    return lines


def _configured(options: argparse.Namespace) -> list[dict[str, Any]] | None:
    try:
        found: list[dict[str, Any]] = client(options, 5.0).get("/sources")["sources"]
    except NoctuleError:
        return None
    return found
