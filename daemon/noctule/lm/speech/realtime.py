"""Does this board keep up with a speech model? Measured at load, said in one sentence. Pure: steps come as calls.

A speech model must answer within one frame (80 ms at 12.5 Hz). Where it does not, the owner decides: `refuse` the
model, `degrade` it (a model that only writes audio may write fewer codebooks: coarser sound, in time), or `allow` it
to lag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from noctule.core.errors import ConfigError, UnavailableError

POLICIES = ("refuse", "degrade", "allow")
#: fewest codebooks that are still speech: below about eight the voice of a 32-codebook codec is gone.
FEWEST_CODEBOOKS = 8
_WARM_UP = 2


@dataclass(frozen=True)
class FrameCost:
    """Milliseconds of one frame: temporal transformer, one depformer step, codec in both directions used."""

    temporal: float
    codebook: float
    codec: float

    def total(self, codebooks: int) -> float:
        return self.temporal + self.codebook * codebooks + self.codec


def affordable(cost: FrameCost, readings: int, frame_ms: float, margin: float = 0.9) -> int:
    """How many of so many readings, each with a temporal transformer of its own, fit into a frame; at least one."""
    if cost.temporal <= 0:
        return readings
    return max(1, min(readings, int((frame_ms * margin - cost.codec) / cost.temporal)))


@dataclass(frozen=True)
class Verdict:
    """keeps_up: within the frame and the margin; codebooks: how many to write; sentence: for people."""

    keeps_up: bool
    codebooks: int
    milliseconds: float
    sentence: str


def median_ms(step: Callable[[], object], frames: int = 9, now: Callable[[], float] = perf_counter) -> float:
    """Median time of `step` over `frames` calls, after two that are not counted (memory is touched first)."""
    times = []
    for _ in range(frames + _WARM_UP):
        start = now()
        step()
        times.append((now() - start) * 1e3)
    return median(times[_WARM_UP:])


def judge(
    cost: FrameCost, codebooks: int, frame_ms: float, *, policy: str, margin: float = 0.9, droppable: bool = False
) -> Verdict:
    """Decide for a model that writes `codebooks` codebooks in frames of `frame_ms`.

    margin: share of the frame that may be used, the rest being for everything else on the board; droppable: whether
    the model may write fewer codebooks. Raises UnavailableError under the policy "refuse".
    """
    if policy not in POLICIES:
        raise ConfigError([f"speech.realtime: {policy!r} is none of {', '.join(POLICIES)}"])
    budget, needs = frame_ms * margin, cost.total(codebooks)
    numbers = f"{_short(needs)} ms for each {frame_ms:.0f} ms frame"
    if needs <= budget:
        return Verdict(True, codebooks, needs, f"the speech model takes {numbers}: this board keeps up")
    late = f"the speech model takes {numbers}: this board does not keep up"
    if policy == "refuse":
        raise UnavailableError(
            late, 'take a smaller model, or set speech.realtime to "degrade" or "allow" for answers that lag'
        )
    if policy == "degrade" and droppable and cost.codebook > 0:
        fits = int((budget - cost.temporal - cost.codec) / cost.codebook)
        if min(FEWEST_CODEBOOKS, codebooks) <= fits < codebooks:
            needs = cost.total(fits)
            sentence = f"{late}, so it writes {fits} of {codebooks} codebooks in {_short(needs)} ms: coarser sound"
            return Verdict(True, fits, needs, sentence)
    lag = (needs / frame_ms - 1) * 60
    return Verdict(False, codebooks, needs, f"{late} and falls {lag:.0f} s behind in each minute")


def _short(milliseconds: float) -> str:
    """Whole milliseconds, tenths where they matter."""
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.1f}"
