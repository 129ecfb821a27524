"""`noctule tail`: what happens, as it happens, in words."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from noctule.cli.common import client, printable, say, socket_argument
from noctule.core.events import PRIVATE_FIELDS

HELP = "show what happens, as it happens"

_LEVELS = {0: "error", 1: "error", 2: "error", 3: "error", 4: "warning"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print each event as one JSON object")
    parser.add_argument("--words", action="store_true", help="also show what was said and answered")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    # A heartbeat line comes every 15 s, so a minute of nothing means that the daemon hangs.
    private = options.words
    for line in client(options, timeout=60).stream("GET", "/events"):
        private = private or bool(line.get("log_words"))  # as the stream's first line says
        if options.json:
            say(json.dumps(line, ensure_ascii=False))
        elif text := words(line, private):
            say(text)
    return 0


def words(event: Mapping[str, Any], private: bool = False) -> str:
    """One line for an event; empty for those that only keep the stream going. private: with what people said."""
    kind = str(event.get("kind", ""))
    if kind == "stream.dropped":
        return f"({event.get('dropped')} events were dropped: this terminal was too slow)"
    heard = private and kind == "speech.words"
    if kind.startswith("stream.") or (int(event.get("level", 6)) > 6 and not heard):
        return ""
    at = time.strftime("%H:%M:%S", time.localtime(float(event.get("time", 0))))
    level = _LEVELS.get(int(event.get("level", 6)), "")
    line = f"{at} {level + ': ' if level else ''}{event.get('part')}: {event.get('message')}"
    if heard:
        line = f"{at} hears: {(event.get('fields') or {}).get('text', '')}"
    elif private:
        fields = event.get("fields") or {}
        line += "".join(f" [{name}: {fields[name]}]" for name in sorted(PRIVATE_FIELDS & fields.keys()))
    return printable(line.replace("\n", " "))
