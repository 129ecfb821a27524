"""From the children's results to medians, ratios and verdicts. Pure: dictionaries in, rows and text out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: One child's result with what it ran: engine, threads, loaded (other work on the cores), and lm_child's answer.
Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` > 1 means we are faster; None where there is nothing to compare with."""

    what: str
    threads: int
    ours: float
    theirs: float | None
    ratio: float | None
    unit: str
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Comparison:
    part: str  # of a child's result: decode, deep, first
    what: str
    ours: str  # engine names
    theirs: str
    least: float  # ratio to reach
    loaded: bool = False


COMPARISONS = (
    Comparison("decode", "decode, short context, int8 / Q8_0", "int8", "Q8_0", 1.3),
    Comparison("deep", "decode, 440 tokens, int8 / Q8_0", "int8", "Q8_0", 1.5),
    Comparison("decode", "decode, short context, int4 / Q4_0", "int4", "Q4_0", 1.1),
    Comparison("deep", "decode, 440 tokens, int4 / Q4_0", "int4", "Q4_0", 1.1),
    Comparison("first", "first token of 128, int8 / Q8_0", "int8", "Q8_0", 1.0),
    Comparison("decode", "decode, cores busy, int8 / Q8_0", "int8", "Q8_0", 2.0, loaded=True),
)
MEMORY_LIMIT_MB = 240.0
BANDWIDTH_SHARE = 0.70


def rows(
    samples: Sequence[Sample], token_bytes: Mapping[str, int], bandwidth: Mapping[int, Sequence[float]]
) -> list[Row]:
    """`token_bytes`: weight bytes read a token, by engine; `bandwidth`: GB/s by thread count, one a repeat."""
    found: list[Row] = []
    threads = sorted({int(s["threads"]) for s in samples})
    for c in COMPARISONS:
        for n in threads:
            pairs = _pairs(samples, c, n)
            if pairs:
                found.append(_compare(c, n, pairs))
    for engine in ("int8", "int4", "Q8_0", "Q4_0"):
        for n in threads:
            found += _alone(samples, engine, n, token_bytes, bandwidth)
    return found


def _of(samples: Sequence[Sample], engine: str, threads: int, loaded: bool) -> dict[int, Sample]:
    chosen = [s for s in samples if (s["engine"], s["threads"], s["loaded"]) == (engine, threads, loaded)]
    return {int(s["repeat"]): s for s in chosen}


def _pairs(samples: Sequence[Sample], c: Comparison, threads: int) -> list[tuple[float, float]]:
    """(ours, theirs) in milliseconds of the repeats in which both ran, side by side in time."""
    ours, theirs = _of(samples, c.ours, threads, c.loaded), _of(samples, c.theirs, threads, c.loaded)
    return [
        (float(ours[r][c.part]["ms"]), float(theirs[r][c.part]["ms"]))
        for r in sorted(ours.keys() & theirs.keys())
        if c.part in ours[r] and c.part in theirs[r]
    ]


def _compare(c: Comparison, threads: int, pairs: list[tuple[float, float]]) -> Row:
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    if c.part != "first":
        mine, other = 1e3 / mine, 1e3 / other
    unit = "ms" if c.part == "first" else "tokens/s"
    return Row(c.what, threads, mine, other, ratio, unit, f">= {c.least:g} x", ratio >= c.least)


def _alone(
    samples: Sequence[Sample],
    engine: str,
    n: int,
    token_bytes: Mapping[str, int],
    bandwidth: Mapping[int, Sequence[float]],
) -> list[Row]:
    """Memory and share of the bandwidth: bounds of our int8 package, information for the others."""
    idle = list(_of(samples, engine, n, False).values())
    if not idle:
        return []
    judged = engine == "int8"
    resident = statistics.median(float(s["memory"]["resident"]) for s in idle)
    found = [
        Row(f"resident memory, {engine}", n, resident, None, None, "MB",
            f"<= {MEMORY_LIMIT_MB:g} MB" if judged else "", resident <= MEMORY_LIMIT_MB if judged else None)
    ]  # fmt: skip
    shares = [
        token_bytes[engine] / (float(s["decode"]["ms"]) * 1e-3) / (bandwidth[n][int(s["repeat"])] * 1e9)
        for s in idle
        if "decode" in s and engine in token_bytes and n in bandwidth
    ]
    if shares:
        share = statistics.median(shares)
        bound = judged and n == 1
        found.append(
            Row(f"share of read bandwidth, {engine}", n, 100 * share, None, None, "%",
                f">= {BANDWIDTH_SHARE:.0%}" if bound else "", share >= BANDWIDTH_SHARE if bound else None)
        )  # fmt: skip
    return found


def table(found: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = ["| what | threads | ours | llama.cpp | ratio | target | met |", "|---|---|---|---|---|---|---|"]
    for row in found:
        theirs = "" if row.theirs is None else f"{row.theirs:.1f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        lines.append(
            f"| {row.what} | {row.threads} | {row.ours:.1f} {row.unit} | {theirs} | {ratio} | {row.target} | {met} |"
        )
    return "\n".join(lines)


def as_json(found: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in found]
