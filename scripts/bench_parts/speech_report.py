"""What `scripts/bench speech` says: medians, ratios, share of the read bandwidth, and boards on paper."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from bench_parts.speech_protocol import PARTS

if TYPE_CHECKING:
    from bench_parts.speech import Child

FRAME_MS = 80.0
#: read bandwidth in GB/s: what a Pi 5 really gives, and an Orin Nano's nominal 68 (its later firmware: 102)
BOARDS = {"Raspberry Pi 5": 10.0, "Jetson Orin Nano": 68.0}
_TEMPORAL, _DEPFORMER = PARTS.index("temporal"), PARTS.index("depformer")


def rows(name: str, children: Sequence[Child], read_bytes: int, bandwidth: float | None) -> list[dict[str, Any]]:
    """A row for each engine: milliseconds of each part, of the language model, of all; ratios to the first engine."""
    ours = children[0]
    found = []
    for child in children:
        frames = [frame for turn in child.turns for frame in turn]
        parts = {part: median(frame[i] for frame in frames) for i, part in enumerate(PARTS)}
        model = median(_model(frame) for frame in frames)
        row: dict[str, Any] = {
            "model": name, "threads": child.threads, "engine": child.engine, **parts, "language model": model,
            "all": median(sum(frame) for frame in frames), "resident_mb": child.resident_mb,
            "times": _ratio(ours, child, _model), "times_all": _ratio(ours, child, sum), "turns": child.turns,
        }  # fmt: skip
        if child.engine == "noctule":
            gb_s = read_bytes / model / 1e6
            row |= {"bytes": read_bytes, "gb_s": gb_s, "share": gb_s / bandwidth if bandwidth else None}
        found.append(row)
    return found


def _model(frame: Sequence[float]) -> float:
    return frame[_TEMPORAL] + frame[_DEPFORMER]


def _ratio(ours: Child, other: Child, total: Any) -> float:
    """How many times longer the other takes: the median over turns of the ratio of the turns' medians."""
    pairs = zip(ours.turns, other.turns, strict=True)
    return median(median(map(total, b)) / median(map(total, a)) for a, b in pairs)


def table(found: Sequence[dict[str, Any]]) -> str:
    head = f"{'':30s}" + "".join(f"{part:>11s}" for part in PARTS)
    lines = [f"\nms a frame{head[10:]}{'LM':>9s}{'all':>9s}{'LM x':>7s}{'all x':>7s}{'MB':>7s}  read"]
    for row in found:
        label = f"{row['model']} {row['threads']}t {row['engine']}"
        numbers = "".join(f"{row[part]:11.2f}" for part in PARTS)
        line = f"{label:30s}{numbers}{row['language model']:9.2f}{row['all']:9.2f}"
        line += f"{row['times']:7.1f}{row['times_all']:7.1f}{row['resident_mb']:7.0f}"
        if "gb_s" in row:
            share = f" = {row['share']:.0%} of the bandwidth" if row["share"] else ""
            line += f"  {row['bytes'] / 1e6:.0f} MB, {row['gb_s']:.1f} GB/s{share}"
        lines.append(line)
    return "\n".join(lines)


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
