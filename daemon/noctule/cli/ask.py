"""`noctule ask TEXT…`: put a request to the daemon; the answer appears as it is made."""

from __future__ import annotations

import argparse
import json

from noctule.cli.common import client, printable, say, socket_argument

HELP = "ask something, or ask for something to be done"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", metavar="TEXT", help="the request; quotes are not needed")
    parser.add_argument("--json", action="store_true", help="print the whole answer as one JSON object")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    text = " ".join(options.text)
    # The daemon cuts an answer off after lm.timeout; waiting longer than its largest value is never right.
    service = client(options, timeout=3600)
    if options.json:
        say(json.dumps(service.post("/ask", {"text": text, "stream": False}), ensure_ascii=False))
        return 0
    shown = ""
    for line in service.stream("POST", "/ask", {"text": text}):
        if "delta" in line:
            shown += line["delta"]
            say(printable(line["delta"]), end="")
        elif not shown:
            shown = str(line.get("reply", ""))
            say(printable(shown), end="")
    if not shown.endswith("\n"):
        say()
    return 0
