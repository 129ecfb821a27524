"""What one sampled token costs: `run()` for `scripts/bench sampler`. Microseconds of thread CPU time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from noctule.lm.sampler import Sampler, Sampling

#: vocabulary -> bar in milliseconds (None: reported only)
BARS = {2048: None, 32_000: 0.3, 49_152: None, 262_144: 2.0}
SETTINGS = {
    "greedy": Sampling(temperature=0.0),
    "top_k 50": Sampling(temperature=0.8, top_k=50),
    "top_k 250": Sampling(temperature=0.8, top_k=250),
    "all filters": Sampling(temperature=0.8, top_k=50, top_p=0.95, min_p=0.05, repetition_penalty=1.1),
    "min_p 0.05": Sampling(temperature=0.8, min_p=0.05),
    "top_p 0.95": Sampling(temperature=0.8, top_p=0.95),
    "no filter": Sampling(temperature=0.8),
}
REPEATS = 60


def microseconds(call: Callable[[], object]) -> float:
    """Median thread CPU time of a call."""
    times = []
    for _ in range(REPEATS):
        start = time.thread_time_ns()
        call()
        times.append(time.thread_time_ns() - start)
    return sorted(times)[REPEATS // 2] / 1000


def run() -> dict[str, Any]:
    """{vocabulary: {setting: {"free", "masked"}}} in µs, and whether the bars hold for the default filters.

    Logits are normal with deviation 3; the mask allows one token in a hundred, as booleans.
    """
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {}
    holds = True
    for vocabulary, bar in BARS.items():
        logits = (random.standard_normal(vocabulary) * 3).astype(np.float32)
        history = random.integers(0, vocabulary, 128)
        mask = random.random(vocabulary) < 0.01
        row = {}
        for name, how in SETTINGS.items():
            draw = Sampler(how, 0)
            row[name] = {
                "free": round(microseconds(lambda draw=draw, x=logits, h=history: draw.sample(x, h)), 1),
                "masked": round(microseconds(lambda draw=draw, x=logits, h=history, m=mask: draw.sample(x, h, m)), 1),
            }
        rows[str(vocabulary)] = row
        holds = holds and (bar is None or row["all filters"]["free"] <= bar * 1000)
    return {"unit": "us", "bars_ms": {str(v): b for v, b in BARS.items() if b}, "holds": holds, "sampler": rows}


def main(arguments: list[str]) -> int:
    """`scripts/bench sampler [--json]`: a table of `run()`; exit 1 when a bar is broken."""
    parser = argparse.ArgumentParser(prog="scripts/bench sampler", description="What one sampled token costs.")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args(arguments)
    found = run()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0 if found["holds"] else 1
    print("µs of CPU a token, free / with a mask that allows 1 in 100")
    print("setting".ljust(14) + "".join(f"{int(v):>18,}" for v in found["sampler"]))
    for name in SETTINGS:
        cells = [row[name] for row in found["sampler"].values()]
        print(name.ljust(14) + "".join(f"{c['free']:>9.0f} /{c['masked']:>7.0f}" for c in cells))
    bars = ", ".join(f"{bar} ms at {int(v):,}" for v, bar in found["bars_ms"].items())
    print(f"bars for all filters ({bars}): {'hold' if found['holds'] else 'BROKEN'}")
    return 0 if found["holds"] else 1
