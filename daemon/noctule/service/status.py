"""The part of `status` that is true of any service."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from noctule import __version__
from noctule.service.board import resident_bytes, temperature_c
from noctule.service.supervisor import WORKING, Supervisor


def report(supervisor: Supervisor, state: str, age: float, more: Sequence[str] = ()) -> dict[str, Any]:
    """What is true of any service: who works, who does not, and what the process and the board tell of themselves.
    more: troubles that are not a part's own."""
    troubles, parts = [*supervisor.troubles(), *more], supervisor.report()
    if state == "ready" and (troubles or any(part["state"] != WORKING for part in parts)):
        state = "degraded"
    return {
        "version": __version__,
        "pid": os.getpid(),
        "state": state,
        "troubles": troubles,
        "uptime_s": round(age, 1),
        "started": round(time.time() - age, 1),
        "parts": parts,
        "memory": {"resident_bytes": resident_bytes()},
        "board": {"temperature_c": temperature_c()},
    }
