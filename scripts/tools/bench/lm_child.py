"""The measuring protocol that every engine goes through, in a process of its own; standard library and numpy only.

An engine is anything with `prefill(tokens)`, `decode(token) -> logits` and `reset()`. The plan, as JSON on the
command line, says what to measure; the answer is one line of JSON on stdout that begins with MARK.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MARK = "RESULT "
_WARM = 3  # steps before the clock counts
_PROMPT = 128
_DEEP = 440
_SHORT = 8


class Engine(Protocol):
    def prefill(self, tokens: Sequence[int]) -> None:
        """Take these tokens at the current position; no logits wanted."""

    def decode(self, token: int) -> np.ndarray:
        """Take one token, give the logits [vocab] after it."""

    def reset(self) -> None:
        """Forget everything: position 0."""


def memory() -> dict[str, float]:
    """Megabytes of this process: resident now, its anonymous part, and the highest resident so far."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {
        short: int(fields[name].split()[0]) * 1024 / 1e6
        for short, name in (("resident", "VmRSS"), ("anonymous", "RssAnon"), ("peak", "VmHWM"))
    }


def prompt(length: int) -> list[int]:
    """Token ids 300, 301, …: ordinary pieces of every vocabulary here."""
    return list(range(300, 300 + length))


def run(plan: dict[str, Any], load: Callable[[], Engine]) -> None:
    """Measure the plan's `parts` (identify, decode, deep, first), `tokens` steps and `budget` seconds each."""
    base = memory()["resident"]
    start = time.perf_counter()
    engine = load()
    result: dict[str, Any] = {"base_mb": base}
    engine.decode(prompt(1)[0])
    result["load_s"] = time.perf_counter() - start
    engine.reset()
    if "identify" in plan["parts"]:
        result["greedy"] = greedy(engine, prompt(16), 4)
    if "first" in plan["parts"]:
        result["first"] = first_token(engine, plan["budget"])
    for part, depth in (("decode", _SHORT), ("deep", _DEEP)):
        if part in plan["parts"]:
            engine.reset()
            engine.prefill(prompt(depth))
            result[part] = steps(engine, plan["tokens"], plan["budget"])
    result["memory"] = memory()
    print(MARK + json.dumps(result), flush=True)


def greedy(engine: Engine, tokens: Sequence[int], count: int) -> list[int]:
    """Which model is this: the same weights must give the same first words, whatever the engine."""
    engine.prefill(tokens[:-1])
    token, found = tokens[-1], []
    for _ in range(count):
        token = int(engine.decode(token).argmax())
        found.append(token)
    engine.reset()
    return found


def steps(engine: Engine, count: int, budget: float) -> dict[str, float]:
    """Greedy decoding as a user would meet it, choice of the token included. Milliseconds a token."""
    walls, cpus = [], []
    token, end = 300, time.perf_counter() + budget
    for i in range(count + _WARM):
        wall, cpu = time.perf_counter(), time.process_time()
        token = int(engine.decode(token).argmax())
        if i >= _WARM:
            walls.append(1e3 * (time.perf_counter() - wall))
            cpus.append(1e3 * (time.process_time() - cpu))
        if walls and time.perf_counter() > end:
            break
    return {
        "ms": statistics.median(walls), "best_ms": min(walls), "cpu_ms": statistics.median(cpus),
        "mean_ms": statistics.fmean(walls), "steps": len(walls),
    }  # fmt: skip


def first_token(engine: Engine, budget: float) -> dict[str, float]:
    """Milliseconds from a prompt of 128 tokens to the first generated one."""
    tokens, walls, end = prompt(_PROMPT), [], time.perf_counter() + budget
    for i in range(5):
        engine.reset()
        start = time.perf_counter()
        engine.prefill(tokens[:-1])
        engine.decode(tokens[-1]).argmax()
        if i:
            walls.append(1e3 * (time.perf_counter() - start))
        if walls and time.perf_counter() > end:
            break
    return {"ms": statistics.median(walls), "best_ms": min(walls), "prompt": float(_PROMPT)}
