"""What `noctule status`, `noctule sources` and the status page say of a source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noctule.capture.feed.subscription import Announced
from noctule.capture.process.door import HelperProcess
from noctule.capture.process.process import CaptureProcess
from noctule.capture.states import CLOSED, LIVE, LOST, PAUSED
from noctule.core.errors import DeviceError, NoctuleError, UnavailableError

#: seconds over which pictures per second are counted.
_SPAN = 2.0


@dataclass(frozen=True)
class FeedFacts:
    """What a feed knows of itself at one moment. kind, address: of the source that is open; about: what it is."""

    name: str
    kind: str
    address: str
    state: str
    error: NoctuleError | None
    last_error: str
    frames: int
    restarts: int
    masked: bool
    about: dict[str, Any]
    paused: bool = False


def report(
    feed: FeedFacts,
    latest: Announced | None,
    arrivals: Sequence[float],
    process: CaptureProcess | HelperProcess | None,
) -> dict[str, Any]:
    """JSON-able facts. arrivals: monotonic seconds at which the last frames came."""
    now = time.monotonic()
    return {
        "name": feed.name,
        "kind": feed.kind,
        "address": feed.address,
        "state": feed.state,
        "reason": feed.error.message if feed.error else "",
        "hint": feed.error.hint if feed.error else "",
        "last_error": feed.last_error,
        "age_s": round(now - latest.at, 3) if latest else None,
        "fps": round(sum(t > now - _SPAN for t in arrivals) / _SPAN, 1) if feed.state == LIVE else 0.0,
        "frames": feed.frames,
        "restarts": feed.restarts,
        "torn": latest.ring.torn if latest else 0,
        "masked": feed.masked,
        "pid": process.pid if process else None,
        "about": dict(feed.about),
    }


def absence(feed: FeedFacts, age: float) -> NoctuleError:
    """Why there is no picture. age: of the newest one, in seconds; infinite for none."""
    if feed.paused:
        return UnavailableError(f"{feed.name} is paused", "resume it with `noctule resume`")
    if feed.error is not None:
        return type(feed.error)(f"{feed.name} gives no picture: {feed.error.message}", feed.error.hint)
    if age != float("inf"):
        return DeviceError(f"{feed.name} gives no new picture: the last one is {age:.1f} s old", "")
    return DeviceError(f"{feed.name} has not given a picture yet ({feed.state})")


def news(
    name: str,
    before: str,
    state: str,
    old: NoctuleError | None,
    error: NoctuleError | None,
    about: dict[str, Any],
) -> tuple[str, str, int, dict[str, Any]] | None:
    """(kind, message, level, fields) of what is worth telling when a source goes from a state to another: each thing
    once, not again for the same reason. about: what the source is."""
    if state == LOST and error is not None and (old is None or old.message != error.message):
        fields = {"source": name, "reason": error.message, "hint": error.hint}
        return "capture.lost", f"{name} gives no pictures: {error.message}", 4, fields
    if state == LIVE and before != LIVE:
        return "capture.live", f"{name} gives pictures", 6, {"source": name, **about}
    if state == PAUSED and before != PAUSED:
        return "capture.paused", f"{name} is paused and its device closed", 5, {"source": name}
    if state == CLOSED and before == LIVE:
        return "capture.closed", f"{name} is closed: nobody looks", 6, {"source": name}
    return None
