"""The governor: does less when the board is in distress, and the same as before when it is well again.

Strains are heat (a sensor, or the firmware's throttling), power (under-voltage, over-current) and memory (the
kernel's pressure figures, what is free, the control group's own bounds). While one lasts, steps are taken in order,

    threads    fewer threads for the language model
    context    its smallest context bucket
    frames     fewer pictures a second
    background no motion and scene detection, no pre-roll, no thumbnails
    model      no language model in memory while nobody asks

each `patience` seconds after the one before, passing over those that do not help against this strain or have nothing
to give. When every reading has been well for `recovery` seconds the last step is undone, then the one before it, and
so on. Between "strained" and "well" lies a gap in which nothing changes: a board at the edge does not swing. All
times are monotonic.

Beside that it gives the heap's free pages back every minute, strained or not.

Readings come from `board.Board`, the steps from the parts that give something up (see `Step`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from noctule.config.schema_health import GovernorConfig as Settings
from noctule.core.clock import Clock
from noctule.core.errors import NoctuleError
from noctule.core.events import Bus
from noctule.core.memory import tidy
from noctule.service.board import Board, Readings
from noctule.service.supervisor import Job, Part

NAME = "governor"
LADDER = ("threads", "context", "frames", "background", "model")
HEAT, POWER, MEMORY = "heat", "power", "memory"
#: longest time between two beats (seconds), however long the interval between two looks.
_NAP = 1.0
#: seconds between two times that free memory is given back.
TRIM_EVERY = 60.0


@runtime_checkable
class Step(Protocol):
    """One thing that a part can give up."""

    name: str
    #: the strains against which it helps
    relieves: frozenset[str]

    def take(self) -> str:
        """Give it up; what that means, in words. "" when there is nothing to give up."""

    def undo(self) -> str:
        """Take it back; what that means, in words."""


@runtime_checkable
class Governed(Protocol):
    """An organ that can give something up."""

    def steps(self) -> Sequence[Step]: ...


@dataclass(frozen=True)
class Strain:
    """One judged reading. bad: a reason for a step; well: no reason against undoing one (both False in the gap)."""

    kind: str
    bad: bool
    well: bool
    words: str


def judge(readings: Readings, before: Readings | None, settings: Settings) -> list[Strain]:
    """What the readings mean. before: the previous ones, for counters. What the board does not tell is not judged."""
    found: list[Strain] = []

    def high(kind: str, value: float | None, bad: float, well: float, words: str) -> None:
        if value is not None:
            found.append(Strain(kind, value >= bad, value <= well, words))

    heat, free = readings.temperature_c, readings.available
    high(HEAT, heat, settings.hot, settings.cool, f"the board is at {heat or 0:.0f} °C")
    if readings.throttled is not None:
        slowed = readings.throttled & 0b1110  # frequency capped, throttled, soft temperature limit
        found.append(Strain(HEAT, bool(slowed), not slowed, "the firmware slows the processor down"))
        low = readings.throttled & 1
        found.append(Strain(POWER, bool(low), not low, "the supply voltage is too low"))
    if readings.voltage_alarm is not None:
        alarm = readings.voltage_alarm
        found.append(Strain(POWER, alarm, not alarm, "the supply voltage is too low"))
    if readings.overcurrents is not None:
        more = before is not None and readings.overcurrents > (before.overcurrents or 0)
        found.append(Strain(POWER, more, not more, "the board draws too much current"))
    if free is not None:
        words = f"{free:.0%} of the memory is free"
        found.append(Strain(MEMORY, free * 100 <= settings.memory_low, free * 100 >= settings.memory_well, words))
    stalled = readings.memory_pressure
    words = f"programs wait for memory {stalled or 0:.0f} % of the time"
    high(MEMORY, stalled, settings.pressure, settings.pressure / 4, words)
    if readings.group_use is not None:
        words = f"{readings.group_use:.0%} of the memory that the service may have is used"
        high(MEMORY, readings.group_use, 0.95, 0.85, words)
    if readings.group_highs is not None:
        more = before is not None and readings.group_highs > (before.group_highs or 0)
        found.append(Strain(MEMORY, more, not more, "the service was held back at its memory bound"))
    return found


@dataclass
class _Taken:
    step: Step
    words: str
    why: str
    at: float


class Governor:
    """settings: asked at each look, so that a reload counts; changed: called after each step and undoing."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        board: Board,
        steps: Iterable[Step],
        bus: Bus,
        clock: Clock,
        max_age: float = 15.0,
        changed: Callable[[], None] = lambda: None,
        give_back: Callable[[], None] = tidy,
    ) -> None:
        self._settings, self._board, self._bus, self._clock = settings, board, bus, clock
        self._changed, self._trim = changed, give_back
        self._steps = sorted(steps, key=lambda step: LADDER.index(step.name))
        self._lock = threading.Lock()
        self._taken: list[_Taken] = []
        self._strains: list[Strain] = []
        self._readings: Readings | None = None
        self._bad_since: float | None = None
        self._well_since: float | None = None
        self._moved = float("-inf")
        self.counts = {"taken": 0, "undone": 0}
        self._stopping = threading.Event()
        self.job = Job(NAME, self.run, max_age, self._stopping.set)

    def run(self, part: Part, stop: threading.Event) -> None:
        """Look every `interval` seconds until `stop`."""
        self._stopping.clear()
        due = trimmed = self._clock.monotonic()
        while not stop.is_set():
            now = self._clock.monotonic()
            if now >= due:
                self.look()
                due = now + self._settings().interval
            if now - trimmed >= TRIM_EVERY:
                self._trim()
                trimmed = now
            part.beat()
            self._clock.wait(self._stopping, min(_NAP, max(0.0, due - now)))

    def look(self) -> None:
        """One look at the board, and at most one step."""
        settings = self._settings()
        readings = self._board.read()
        strains = judge(readings, self._readings, settings)
        now = self._clock.monotonic()
        with self._lock:
            self._readings, self._strains = readings, strains
        if not settings.enabled:
            self._bad_since = self._well_since = None
            while self._taken:
                self._undo(now, "the governor was switched off")
            return
        bad = [strain for strain in strains if strain.bad]
        if bad:
            self._well_since = None
            self._bad_since = now if self._bad_since is None else self._bad_since
            if now - max(self._bad_since, self._moved) >= settings.patience:
                self._take(now, bad)
        else:
            self._bad_since = None
            if not all(strain.well for strain in strains):
                self._well_since = None
                return
            self._well_since = now if self._well_since is None else self._well_since
            if self._taken and now - max(self._well_since, self._moved) >= settings.recovery:
                self._undo(now, "the board is well again")

    def _take(self, now: float, bad: Sequence[Strain]) -> None:
        """The next step that helps against one of these strains and has something to give."""
        kinds = {strain.kind for strain in bad}
        held = [taken.step for taken in self._taken]
        for step in self._steps:
            if step in held or not kinds & step.relieves:
                continue
            try:
                words = step.take()
            except NoctuleError:
                continue  # its part is out of service and gives nothing
            if words:
                why = next(strain.words for strain in bad if strain.kind in step.relieves)
                with self._lock:
                    self._taken.append(_Taken(step, words, why, now))
                    self.counts["taken"] += 1
                self._moved = now
                self._say("governor.eased", f"Doing less: {words}, because {why}", step, why)
                return

    def _undo(self, now: float, why: str) -> None:
        with self._lock:
            taken = self._taken.pop()
            self.counts["undone"] += 1
        self._moved = now
        self._say("governor.restored", f"Doing more: {taken.step.undo()}, because {why}", taken.step, why)

    def _say(self, kind: str, message: str, step: Step, why: str) -> None:
        self._bus.publish(kind, NAME, message, 4 if kind == "governor.eased" else 5, step=step.name, why=why)
        self._changed()

    # -- for status ----------------------------------------------------------------------------------------------

    def troubles(self) -> list[str]:
        """One sentence for each step that is in force."""
        with self._lock:
            return [f"{taken.words}, because {taken.why}" for taken in self._taken]

    def report(self) -> Mapping[str, Any]:
        """For `status`; facts that the board does not tell are left out."""
        now = self._clock.monotonic()
        with self._lock:
            return {
                "enabled": self._settings().enabled,
                "strains": sorted({strain.words for strain in self._strains if strain.bad}),
                "steps": [
                    {"step": t.step.name, "what": t.words, "why": t.why, "since_s": round(now - t.at, 1)}
                    for t in self._taken
                ],
                "readings": self._readings.facts() if self._readings is not None else {},
                **self.counts,
            }
