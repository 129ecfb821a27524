"""What `scripts/bench speech` says: medians, ratios, share of the read bandwidth, and boards on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from tools.bench.speech_protocol import PARTS

if TYPE_CHECKING:
    from tools.bench.speech import Child, Frame

FRAME_MS = 80.0
#: read bandwidth in GB/s: what a Pi 5 really gives, and an Orin Nano's nominal 68 (its later firmware: 102)
BOARDS = {"Raspberry Pi 5": 10.0, "Jetson Orin Nano": 68.0}
_TEMPORAL, _DEPFORMER = PARTS.index("temporal"), PARTS.index("depformer")
_LM = "language model"


def rows(name: str, children: Sequence[Child], read_bytes: int, bandwidth: float) -> list[dict[str, Any]]:
    """A row for each engine: milliseconds by the wall and by the processor, ratios to the first engine, bandwidth.

    bandwidth: GB/s this machine reads at best, 0 when unknown; our best frame is held against it.
    """
    ours = children[0]
    found = []
    for child in children:
        frames = [frame for turn in child.turns for frame in turn]
        row: dict[str, Any] = {
            "model": name,
            "threads": child.threads,
            "engine": child.engine,
            "resident_mb": child.resident_mb,
            "nice": child.nice,
            "turns": child.turns,
        }
        for clock in ("wall", "cpu"):
            values = {part: median(frame[clock][i] for frame in frames) for i, part in enumerate(PARTS)}
            values[_LM] = median(_model(frame, clock) for frame in frames)
            values["all"] = median(sum(frame[clock]) for frame in frames)
            values["LM times"] = _ratio(ours, child, lambda frame, clock=clock: _model(frame, clock))
            values["all times"] = _ratio(ours, child, lambda frame, clock=clock: sum(frame[clock]))
            row[clock] = values
        if child.engine == "noctule":
            ms = min(_model(frame, "wall") for frame in frames)
            gb_s = read_bytes / ms / 1e6
            row |= {"bytes": read_bytes, "gb_s": gb_s, "share": gb_s / bandwidth if bandwidth else None}
        found.append(row)
    return found


def _model(frame: Frame, clock: str) -> float:
    return frame[clock][_TEMPORAL] + frame[clock][_DEPFORMER]


def _ratio(ours: Child, other: Child, total: Callable[[Frame], float]) -> float:
    """How many times longer the other takes: the median over turns of the ratio of the turns' medians."""
    pairs = zip(ours.turns, other.turns, strict=True)
    return median(median(map(total, b)) / median(map(total, a)) for a, b in pairs)


def table(found: Sequence[dict[str, Any]]) -> str:
    """Two lines for each engine, one by each clock."""
    lines = [
        f"\n{'ms a frame':38s}" + "".join(f"{part:>11s}" for part in PARTS) + "        LM       all   LM x  all x"
    ]
    for row in found:
        threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
        labels = {"wall": f"{row['model']}, {threads}, {row['engine']}", "cpu": "  processor time"}
        for clock, label in labels.items():
            values = row[clock]
            numbers = "".join(f"{values[part]:11.2f}" for part in PARTS) + f"{values[_LM]:10.2f}{values['all']:10.2f}"
            lines.append(f"{label:38s}{numbers}{values['LM times']:7.1f}{values['all times']:7.1f}")
        lines.append(f"  {row['resident_mb']:.0f} MB resident{_bandwidth(row)}")
    if len({row["nice"] for row in found}) > 1:
        lines.append("\nthe engines did not run at the same priority: compare processor times, not the wall clock")
    return "\n".join(lines)


def _bandwidth(row: dict[str, Any]) -> str:
    if "gb_s" not in row:
        return ""
    share = f", {row['share']:.0%} of the read bandwidth" if row["share"] else ""
    if row["share"] and row["share"] > 1:
        share += " (from the processor's cache, or the machine was too busy to measure its bandwidth)"
    return f"; reads {row['bytes'] / 1e6:.0f} MB a frame, at best {row['gb_s']:.1f} GB/s{share}"


def estimates(found: Sequence[dict[str, Any]]) -> str:
    """Language model alone on boards we do not have: measured bytes over the board's bandwidth, at our best share."""
    lines = [
        "\non paper, language model alone (its bytes over the board's read bandwidth, at the share reached here):"
    ]
    best: dict[str, dict[str, Any]] = {}
    for row in found:
        if row.get("share") and row["share"] > best.get(row["model"], {"share": 0})["share"]:
            best[row["model"]] = row
    for name, row in best.items():
        for board, gb_s in BOARDS.items():
            # more than the whole bandwidth means that weights came from the processor's cache: not to be counted on
            ms = row["bytes"] / (gb_s * min(1.0, row["share"])) / 1e6
            word = "keeps up" if ms < 0.9 * FRAME_MS else "does not keep up"
            lines.append(f"  {name} on a {board} ({gb_s:.0f} GB/s): {ms:.0f} ms of {FRAME_MS:.0f}, {word}")
    return "\n".join(lines)
