"""How the parent of `scripts/bench speech` speaks with the engines it measures: a line of JSON each way.

A child loads its model, prints {"resident_mb": …}, and then answers each {"frames": N} with {"frames": [[ms of each
of PARTS] N times], "resident_mb": …}. A frame is the whole path of 80 ms of sound, in the order a conversation has
it: measured one by one, the smaller parts would stay in the processor's cache and look faster than they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

#: sound to tokens; temporal transformer and text token; codebooks; tokens to sound
PARTS = ("codec in", "temporal", "depformer", "codec out")


def resident_mb() -> float:
    """Megabytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def serve(frame: Callable[[], list[float]]) -> None:
    """Answer the parent until it closes our input. frame(): seconds, before the first part and after each."""
    say({"resident_mb": resident_mb()})
    for line in sys.stdin:
        rows = []
        for _ in range(json.loads(line)["frames"]):
            marks = frame()
            rows.append([round((b - a) * 1e3, 4) for a, b in pairwise(marks)])
        say({"frames": rows, "resident_mb": resident_mb()})


def say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
