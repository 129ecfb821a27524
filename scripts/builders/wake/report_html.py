"""report.html: one file without scripts or outside references; plots are inline SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.pass{color:#0a7d32}.fail{color:#b3261e}
.warn{background:#fff4d6;padding:.5rem 1rem;border-left:4px solid #e0a800}svg{max-width:100%;height:auto}
"""


def page(told: dict[str, Any]) -> str:
    """The whole document."""
    calibration, model, verdict = told["calibration"], told["model"], told["verdict"]
    word = "PASS" if verdict["passed"] else "FAIL"
    low, high = calibration["false_accepts_per_hour_95"]
    parts = [
        f"<h1>Wake word “{html.escape(told['phrase'])}”: <span class={word.lower()}>{word}</span></h1>",
        "".join(f"<p class=warn>{html.escape(text)}</p>" for text in told["warnings"]),
        f"<p class=warn>{html.escape(told['calibration_note'])}</p>" if told["calibration_note"] else "",
        _table(["check", ""], [[name, "yes" if ok else "NO"] for name, ok in verdict["checks"].items()]),
        _threshold(told, low, high),
        "<h2>Missed phrases against false accepts</h2>", _det_plot(told["det"]),
        "<h2>Thresholds</h2>",
        _table(["threshold", "false accepts a day", "an hour", "missed", "missed, clean"],
               [[r["threshold"], r["false_accepts_per_day"], r["false_accepts_per_hour"], f"{r['missed']:.1%}",
                 f"{r['missed_clean']:.1%}"] for r in calibration["table"]]),
        "<h2>Heard, by condition</h2>", _bars(calibration["recall_by_condition"]),
        "<h2>Heard, by voice</h2>", _bars(calibration["recall_by_voice"]),
        "<h2>Nearest other phrases</h2>",
        _table(["said", "woke"], [[row["text"], f"{row['triggered']:.0%}"] for row in told["confusables"]]),
        "<h2>Own voice</h2>", _own(told["own_voice"]),
        "<h2>Model</h2>",
        _table(["", ""], [
            ["size", f"{model['bytes']} bytes"], ["sha256", model["sha256"]],
            ["CPU", f"{model['cpu_ms_per_second']:g} ms per second of audio"],
            ["one 10 ms hop", f"{model['hop_ms_median']:g} ms median, {model['hop_ms_p99']:g} ms p99"],
            ["int8 against float", ", ".join(f"{name} {gap:g}" for name, gap in told["int8_float_gap"].items())],
            ["phonemes", " ".join("".join(word) for word in told["phonemes"])],
            ["trained on", ", ".join(f"{count} {name} voices" for name, count in told["engines"].items())],
            ["scenes", ", ".join(f"{count} {name}" for name, count in told["counts"]["scenes"].items())],
            ["tools", ", ".join(f"{name} {version}" for name, version in told["tools"].items())],
            ["seed", told["seed"]],
            ["build time of the last run", f"{told['build_seconds']} s, {told['cpu_seconds']} s of a core"],
        ]),
    ]  # fmt: skip
    title = f"Wake word {html.escape(told['phrase'])}"
    return (f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><body>"
            + "\n".join(parts) + "</body></html>\n")  # fmt: skip


def _threshold(told: dict[str, Any], low: float, high: float) -> str:
    calibration = told["calibration"]
    return (
        f"<p>Threshold <b>{calibration['threshold']:g}</b> (mean of {calibration['window']} scores), calibrated on "
        f"{html.escape(', '.join(told['calibrated_on']))} with {calibration['hours']:g} h of speech without the "
        f"phrase: {calibration['false_accepts']} false accepts, {calibration['false_accepts_per_hour']:g} an hour "
        f"(95 %: {low:g} … {high:g}). Heard {calibration['recall']:.1%} of {calibration['phrases']} phrases over all "
        f"conditions. {_delay(calibration['delay_seconds'])}</p>"
    )


def _delay(delay: dict[str, float]) -> str:
    if not delay:
        return "No clean phrase was heard."
    return f"Heard {delay['median']:+.2f} s after the phrase's end (median; 95 %: {delay['p95']:+.2f} s)."


def _own(own: dict[str, Any] | str) -> str:
    if isinstance(own, str):
        return f"<p>{html.escape(own)}</p>"
    return f"<p>{own['trials']} trials of held-back recordings, {own['recall']:.1%} heard.</p>" + _bars(
        own["recall_by_condition"]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(value: object) -> str:
        number = isinstance(value, (int, float)) or (isinstance(value, str) and value.endswith("%"))
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        return f"<td{' class=n' if number else ''}>{html.escape(shown)}</td>"

    header = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{header}</tr>{body}</table>"


def _bars(shares: dict[str, float]) -> str:
    """Horizontal bars of shares 0 … 1."""
    rows = []
    for index, (name, share) in enumerate(shares.items()):
        y = 22 * index
        rows.append(
            f"<text x=215 y={y + 15} text-anchor=end font-size=13>{html.escape(name)}</text>"
            f"<rect x=225 y={y + 3} width={max(1, 380 * share):.0f} height=15 fill='#3b6fb6'/>"
            f"<text x={235 + 380 * share:.0f} y={y + 15} font-size=13>{share:.1%}</text>"
        )
    return f"<svg viewBox='0 0 680 {22 * len(shares) + 4}' width=680 role=img>{''.join(rows)}</svg>"


def _det_plot(points: Sequence[dict[str, float]]) -> str:
    """Miss rate (0 … 1) over false accepts an hour (logarithmic), with the 95 % band of the miss rate."""
    width, height, left, bottom = 640, 320, 55, 40
    low, high = math.log10(0.05), math.log10(100.0)

    def x(rate: float) -> float:
        return left + (math.log10(min(100.0, max(0.05, rate))) - low) / (high - low) * (width - left - 15)

    def y(miss: float) -> float:
        return 10 + miss * (height - bottom - 10)

    def path(key: str, reverse: bool = False) -> str:
        ordered = reversed(points) if reverse else points
        return " ".join(f"{x(p['fa']):.1f},{y(p[key]):.1f}" for p in ordered)

    band = f"<polygon points='{path('miss_low')} {path('miss_high', True)}' fill='#3b6fb6' opacity='.2'/>"
    line = f"<polyline points='{path('miss')}' fill='none' stroke='#3b6fb6' stroke-width='2'/>"
    whiskers = "".join(
        f"<line x1='{x(p['fa_low']):.1f}' x2='{x(p['fa_high']):.1f}' y1='{y(p['miss']):.1f}' y2='{y(p['miss']):.1f}' "
        "stroke='#3b6fb6' opacity='.25'/>"
        for p in points[::4]
    )
    grid = "".join(
        f"<line x1='{x(rate):.1f}' x2='{x(rate):.1f}' y1='10' y2='{y(1):.1f}' stroke='#ddd'/>"
        f"<text x='{x(rate):.1f}' y='{height - bottom + 18}' font-size='12' text-anchor='middle'>{rate:g}</text>"
        for rate in (0.1, 0.5, 1, 10, 100)
    ) + "".join(
        f"<line x1='{left}' x2='{width - 15}' y1='{y(miss):.1f}' y2='{y(miss):.1f}' stroke='#ddd'/>"
        f"<text x='{left - 6}' y='{y(miss) + 4:.1f}' font-size='12' text-anchor='end'>{miss:.0%}</text>"
        for miss in (0, 0.25, 0.5, 0.75, 1)
    )
    caption = f"<text x='{(left + width) / 2}' y='{height - 5}' font-size='13' text-anchor='middle'>"
    caption += "false accepts an hour (phrases missed; fewer is higher up)</text>"
    drawn = grid + band + whiskers + line + caption
    return f"<svg viewBox='0 0 {width} {height}' width='{width}' role='img'>{drawn}</svg>"
