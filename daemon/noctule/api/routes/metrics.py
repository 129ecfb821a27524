"""GET /metrics: what `status` knows and what happened since the start, in Prometheus' text format 0.0.4.

    https://prometheus.io/docs/instrumenting/exposition_formats/

No label ever holds a user's words; each takes its values from a bounded set.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from aiohttp import web

from noctule.api.ask import Control
from noctule.audio import health
from noctule.core.events import Event
from noctule.service.governor import LADDER
from noctule.service.part import DEGRADED, RESTARTING, STARTING, STOPPED, WORKING
from noctule.voice.latency import STAGES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: upper bounds of the latency histogram, in seconds: from an action on a fast board to a long answer on a slow one.
BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: different values one label may take before the rest is counted as "other".
MAX_VALUES = 64
OUTCOMES = ("answered", "failed", "refused", "cancelled")
STATES = (STARTING, WORKING, RESTARTING, DEGRADED, STOPPED, "frozen")

Labels = Mapping[str, str]


class Meters:
    """An event sink that counts what `status` does not keep. Thread-safe; never blocks for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_bucket = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("tokens", "failures", "actions", "wake", "turns")
        }

    def __call__(self, event: Event) -> None:
        fields = event.fields
        with self._lock:
            if event.kind == "ask.answered":
                seconds = float(fields.get("seconds", 0.0))
                self._in_bucket[bisect_left(BUCKETS, seconds)] += 1
                self._seconds += seconds
                for kind in ("prompt", "completion"):
                    self._add("tokens", kind, int(fields.get(f"{kind}_tokens", 0)))
            elif event.kind in ("ask.failed", "ask.refused"):
                self._add("failures", str(fields.get("code", "error")))
            elif event.kind in ("action.done", "action.failed"):
                self._add("actions", f"{fields.get('action', '')}\n{event.kind.partition('.')[2]}")
            elif event.kind == "wake.heard":
                self._add("wake", str(fields.get("word", "")))
            elif event.kind.startswith("session.") and "total_ms" in fields:
                self._add("turns", event.kind.partition(".")[2])

    def _add(self, name: str, value: str, count: int = 1) -> None:
        counts = self._counts[name]
        counts[value if value in counts or len(counts) < MAX_VALUES else "other"] += count

    def counts(self, name: str) -> dict[str, int]:
        """A copy of one family of counts."""
        with self._lock:
            return dict(self._counts[name])

    def latency(self) -> tuple[list[int], float]:
        """Answered requests up to each bound (cumulative; the last is all of them), and the sum of their seconds."""
        with self._lock:
            return list(accumulate(self._in_bucket)), self._seconds


class _Page:
    """The text, one family after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, text: str, samples: Iterable[tuple[str, Labels, float]]) -> None:
        """samples: (suffix, labels, value). A family without samples is left out."""
        lines = [f"{name}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in samples]
        if lines:
            self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines]

    def one(self, name: str, kind: str, text: str, value: float | None) -> None:
        """A family with one sample and no labels; None, which the board does not know, is left out."""
        self.family(name, kind, text, [] if value is None else [("", {}, value)])

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Labels) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inner = ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _states(states: Iterable[str], present: str, **labels: str) -> list[tuple[str, Labels, float]]:
    """One sample a state: 1 for the present one, 0 for the others."""
    return [("", {**labels, "state": state}, float(state == present)) for state in dict.fromkeys((*states, present))]


def render(status: Mapping[str, Any], meters: Meters, dropped: int) -> str:
    """status: as GET /status answers it; dropped: events that slow listeners lost."""
    page = _Page()
    lm, api = status["lm"], status["api"]
    info = {"version": status["version"], "model": str(lm.get("model", ""))}
    page.family("noctule_info", "gauge", "Version and model in force.", [("", info, 1.0)])
    states = ("starting", "ready", "degraded", "stopping")
    page.family(
        "noctule_state", "gauge", "State of the service: 1 for the present one.", _states(states, status["state"])
    )
    page.one("noctule_uptime_seconds", "gauge", "Seconds since the start.", status["uptime_s"])
    _parts(page, status["parts"])
    _requests(page, lm, meters)
    page.one("noctule_api_clients", "gauge", "Open connections to the control socket.", api["clients"])
    page.one("noctule_api_connections_total", "counter", "Connections to the control socket.", api["connections"])
    page.one("noctule_api_refused_total", "counter", "Refusals at the control socket.", api["refused"])
    page.one("noctule_events_dropped_total", "counter", "Events that slow listeners lost.", dropped)
    page.one("noctule_journal_lost_total", "counter", "Entries the journal did not take.", status["journal"]["lost"])
    page.one("noctule_timers", "gauge", "Timers that run.", len(status["timers"]))
    page.one(
        "noctule_resident_memory_bytes",
        "gauge",
        "Resident memory of the service.",
        status["memory"]["resident_bytes"],
    )
    page.one("noctule_temperature_celsius", "gauge", "The board's hottest sensor.", status["board"]["temperature_c"])
    if status.get("governor"):
        _governor(page, status["governor"])
    if "ears" in status:
        _ears(page, status["ears"], meters)
    return page.text()


def _governor(page: _Page, governor: Mapping[str, Any]) -> None:
    held = {step["step"] for step in governor["steps"]}
    page.family(
        "noctule_governor_step", "gauge", "1 while this was given up to spare the board.",
        [("", {"step": step}, float(step in held)) for step in LADDER],
    )  # fmt: skip
    page.one("noctule_governor_steps_total", "counter", "Steps taken to spare the board.", governor["taken"])
    page.one("noctule_governor_undone_total", "counter", "Steps undone.", governor["undone"])
    readings = governor["readings"]
    page.one("noctule_memory_available_ratio", "gauge", "Share of memory that is free.", readings.get("available"))
    page.one(
        "noctule_memory_pressure_percent", "gauge", "Time in which programs waited for memory, of the last 10 s.",
        readings.get("memory_pressure"),
    )  # fmt: skip
    low = readings.get("voltage_alarm")
    if "throttled" in readings:
        low = bool(low) or bool(readings["throttled"] & 1)
    page.one("noctule_under_voltage", "gauge", "1 while the supply voltage is too low.", None if low is None else low)


def _parts(page: _Page, parts: Iterable[Mapping[str, Any]]) -> None:
    parts = list(parts)
    page.family(
        "noctule_part_state", "gauge", "State of each part: 1 for the present one.",
        [sample for part in parts for sample in _states(STATES, part["state"], part=part["name"])],
    )  # fmt: skip
    page.family(
        "noctule_part_restarts_total", "counter", "Times a part was started again.",
        [("", {"part": part["name"]}, part["restarts"]) for part in parts],
    )  # fmt: skip
    page.family(
        "noctule_part_last_work_seconds", "gauge", "Seconds since a part last did its work.",
        [("", {"part": p["name"]}, p["last_work_s"]) for p in parts if p["last_work_s"] is not None],
    )  # fmt: skip


def _requests(page: _Page, lm: Mapping[str, Any], meters: Meters) -> None:
    counts = lm["requests"]
    page.one("noctule_requests_received_total", "counter", "Requests that came.", counts["received"])
    page.family(
        "noctule_requests_total", "counter", "Requests by what became of them.",
        [("", {"outcome": outcome}, counts[outcome]) for outcome in OUTCOMES],
    )  # fmt: skip
    if "model" in lm:
        loaded = float(lm.get("loaded", True))
        page.one("noctule_model_loaded", "gauge", "1 while the language model is in memory.", loaded)
    page.one("noctule_first_word_seconds", "gauge", "From the last request to its first word.", lm.get("first_s"))
    page.one("noctule_requests_waiting", "gauge", "Requests that wait for the model.", lm["waiting"])
    page.family(
        "noctule_request_failures_total", "counter", "Requests failed or refused, by the error's code.",
        [("", {"code": code}, count) for code, count in sorted(meters.counts("failures").items())],
    )  # fmt: skip
    page.family(
        "noctule_tokens_total", "counter", "Tokens of answered requests.",
        [("", {"kind": kind}, count) for kind, count in sorted(meters.counts("tokens").items())],
    )  # fmt: skip
    page.family(
        "noctule_actions_total", "counter", "Actions taken, by whether they succeeded.",
        [
            ("", dict(zip(("action", "outcome"), pair.split("\n"), strict=False)), count)
            for pair, count in sorted(meters.counts("actions").items())
        ],
    )  # fmt: skip
    cumulative, seconds = meters.latency()
    bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
    page.family(
        "noctule_request_seconds", "histogram", "Seconds from a request's turn to its whole answer.",
        [
            *(("_bucket", {"le": bound}, n) for bound, n in zip(bounds, cumulative, strict=True)),
            ("_sum", {}, seconds),
            ("_count", {}, cumulative[-1]),
        ],
    )  # fmt: skip


def _ears(page: _Page, ears: Mapping[str, Any], meters: Meters) -> None:
    states = (
        health.OK,
        health.DEAD,
        health.SILENT,
        health.CLIPPING,
        health.WRONG_RATE,
        health.LOSING,
        "muted",
        "closed",
    )
    page.family(
        "noctule_ears_state",
        "gauge",
        "What the microphone does: 1 for the present state.",
        _states(states, ears["state"]),
    )
    page.one("noctule_ears_level_decibels", "gauge", "Level of the sound, 0 is full scale.", ears.get("level_db"))
    page.one("noctule_ears_gaps_total", "counter", "Gaps in the sound.", ears.get("gaps"))
    page.family(
        "noctule_wake_heard_total", "counter", "Wake words heard.",
        [("", {"word": word}, count) for word, count in sorted(meters.counts("wake").items())],
    )  # fmt: skip
    page.family(
        "noctule_turns_total", "counter", "Spoken turns, by how they ended.",
        [("", {"outcome": outcome}, count) for outcome, count in sorted(meters.counts("turns").items())],
    )  # fmt: skip
    last = ears.get("last_turn") or {}
    page.family(
        "noctule_last_turn_milliseconds", "gauge",
        "Where the time of the last turn went: wake and total from the wake word, the others from the end of speech.",
        [("", {"stage": stage.removesuffix("_ms")}, last[stage]) for stage in STAGES if stage in last],
    )  # fmt: skip


def routes(control: Control) -> list[web.RouteDef]:
    """The handler, bound to one service; counting begins here."""
    meters = Meters()
    control.bus.add_sink(meters)

    async def give(request: web.Request) -> web.StreamResponse:
        text = render(control.status(), meters, control.bus.dropped)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    return [web.get("/metrics", give)]
