"""How the parent of `scripts/bench speech` speaks with the engines it measures: a line of JSON each way.

A child loads its model, prints {"resident_mb": …, "nice": …}, and then answers each {"frames": N} with that and
{"frames": [{"wall": [ms of each of PARTS], "cpu": [the same in processor time]} N times]}. A frame is the whole path
of 80 ms of sound, in the order a conversation has it: measured one by one, the smaller parts would stay in the
processor's cache and look faster than they are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypeAlias

#: seconds on the wall clock and of processor time
Mark: TypeAlias = tuple[float, float]
#: sound to tokens; temporal transformer and text token; codebooks; tokens to sound
PARTS = ("codec in", "temporal", "depformer", "codec out")


def resident_mb() -> float:
    """Megabytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def now() -> Mark:
    """This moment on the wall and in this process's processor time, all threads together; seconds."""
    return perf_counter(), process_time()


def serve(frame: Callable[[], list[Mark]]) -> None:
    """Answer the parent until it closes our input. frame(): the moments before the first part and after each."""
    say({})
    for line in sys.stdin:
        rows = []
        for _ in range(json.loads(line)["frames"]):
            steps = [((b[0] - a[0]) * 1e3, (b[1] - a[1]) * 1e3) for a, b in pairwise(frame())]
            rows.append({"wall": [wall for wall, _ in steps], "cpu": [cpu for _, cpu in steps]})
        say({"frames": rows})


def say(row: dict[str, Any]) -> None:
    """The answer, with what may have changed meanwhile."""
    about = {"resident_mb": resident_mb(), "nice": os.getpriority(os.PRIO_PROCESS, 0)}
    sys.stdout.write(json.dumps({**row, **about}) + "\n")
    sys.stdout.flush()
