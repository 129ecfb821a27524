"""`scripts/bench wake`: wake-word packages side by side on generated audio that none was trained on.

By default a package built for "okay nabu" (--package) stands beside pymicro-wakeword's own okay_nabu when that is
installed. The voices are those that the builder reserves (flite slt and kal, festival ked and slt_hts). The first
run makes hours of audio and keeps its features in --cache; later runs take a few minutes. --events phrases are then
spoken to the real daemon, for the time from the microphone's chunk to the event; that wants a quiet machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders.wake.acceptance import FA_PER_HOUR, Verdict, acceptance_audio, acceptance_phrases, judge
from builders.wake.report import measure_cost
from builders.wake.trials import CONDITIONS
from noctule.core.errors import InputError, NoctuleError
from noctule.wake.package import WakePackage, load_package
from tools.bench import wake_delay

#: the bars of DESIGN §5 and the wake-word work: name, key of the summary, bar, whether it is a least value.
BARS = (
    ("mean recall", "mean_recall", 0.80, True),
    ("clean recall", "clean", 0.98, True),
    ("near-miss phrases that wake it", "near_miss", 0.30, False),
    ("false accepts/h", "false_accepts", FA_PER_HOUR, False),
    ("CPU ms per second of audio", "cpu_ms_per_second", 6.0, False),
    ("compute p99 ms per 10 ms hop", "hop_ms_p99", 1.0, False),
    ("chunk to event p99 ms", "event_ms_p99", 10.0, False),
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench wake", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "noctule" / "bench-wake"
    parser.add_argument("--package", type=Path, action="append", required=True, help="package to judge; repeatable")
    parser.add_argument("--phrase", help="the phrase to say (default: the first package's)")
    parser.add_argument("--hours", type=float, default=6.0, help="hours of negative speech (default 6)")
    parser.add_argument("--clips", type=int, default=25, help="phrases a voice (default 25)")
    parser.add_argument("--jobs", type=int, default=2, help="cores for making the audio (default 2)")
    parser.add_argument("--events", type=int, default=60, help="detections to time through the daemon; 0: none")
    parser.add_argument("--only", choices=("recall", "delay"), help="half of the work: the table, or the events")
    parser.add_argument("--cache", type=Path, default=cache, help="where the audio is kept (default %(default)s)")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    return parser.parse_args(arguments)


def peer(phrase: str) -> WakePackage | None:
    """pymicro-wakeword's own model of this phrase, if it is installed and has one."""
    spec = importlib.util.find_spec("pymicro_wakeword")
    if spec is None or not spec.submodule_search_locations:
        return None
    config = Path(spec.submodule_search_locations[0]) / "models" / f"{phrase.replace(' ', '_')}.json"
    return load_package(config) if config.is_file() else None


def summary(verdict: Verdict, threshold: float, cost: dict[str, float]) -> dict[str, float]:
    """The numbers that `BARS` names, all at one threshold."""
    return {
        "mean_recall": verdict.mean_recall(threshold),
        "clean": verdict.trials.recall(threshold, "clean"),
        "near_miss": verdict.near.recall(threshold),
        "false_accepts": verdict.streams.false_accepts(threshold) / verdict.streams.hours,
        **cost,
    }


def show(verdicts: Sequence[Verdict], costs: Sequence[dict[str, float]]) -> list[str]:
    """A Markdown table, a column a package."""
    names = [f"{v.package.phrase} ({v.package.model.parent.name})" for v in verdicts]
    lines = [f"| recall at <= {FA_PER_HOUR:g} false accepts/h | " + " | ".join(names) + " |",
             "|---|" + "---|" * len(names)]  # fmt: skip

    def row(name: str, cells: Sequence[str]) -> None:
        lines.append(f"| {name} | " + " | ".join(cells) + " |")

    row("threshold (chosen on the test streams)", [f"{v.threshold:.3f}" for v in verdicts])
    row("**mean of all conditions**", [f"**{v.mean_recall(v.threshold):.3f}**" for v in verdicts])
    for condition in CONDITIONS:
        row(condition, [f"{v.trials.recall(v.threshold, condition):.2f}" for v in verdicts])
    row("near-miss phrases that wake it", [f"{v.near.recall(v.threshold):.2f}" for v in verdicts])
    row("hours of negatives", [f"{v.streams.hours:.1f}" for v in verdicts])
    row("own threshold", [f"{v.package.threshold:.3f}" for v in verdicts])
    row("mean recall there", [f"{v.mean_recall(v.package.threshold):.3f}" for v in verdicts])
    row("clean there", [f"{v.trials.recall(v.package.threshold, 'clean'):.2f}" for v in verdicts])
    row("near-miss phrases there", [f"{v.near.recall(v.package.threshold):.2f}" for v in verdicts])
    row("false accepts/h there",
        [f"{v.streams.false_accepts(v.package.threshold) / v.streams.hours:.2f}" for v in verdicts])  # fmt: skip
    row("size, bytes", [str(v.package.model.stat().st_size) for v in verdicts])
    row("CPU ms per second of audio", [f"{c['cpu_ms_per_second']:.2f}" for c in costs])
    row(
        "compute per 10 ms hop, median / p99 ms", [f"{c['hop_ms_median']:.3f} / {c['hop_ms_p99']:.3f}" for c in costs]
    )
    return lines


def verdict_lines(told: dict[str, float]) -> tuple[list[str], bool]:
    """PASS or FAIL of the first package against every bar."""
    lines, passed = [], True
    for name, key, bar, least in BARS:
        if key not in told:
            lines.append(f"----  {name}: not measured")
            continue
        ok = told[key] >= bar if least else told[key] <= bar
        passed &= ok
        lines.append(f"{'PASS' if ok else 'FAIL'}  {name}: {told[key]:.3f} ({'>=' if least else '<='} {bar:g})")
    return lines, passed


def delay(package: WakePackage, banks: Sequence[Path], events: int) -> dict[str, float]:
    """Time events through the daemon and print them."""
    found = wake_delay.measure(package, banks, events).summary()
    print("chunk to event, {events:.0f} detections: median {event_ms_median:.2f} ms, p99 {event_ms_p99:.2f} ms, "
          "longest {event_ms_max:.2f} ms; at a listener of the socket p99 {received_ms_p99:.2f} ms"
          .format(**found))  # fmt: skip
    return found


def main(arguments: Sequence[str]) -> int:
    told = parse(arguments)
    try:
        packages = [load_package(path) for path in told.package]
        phrase = (told.phrase or packages[0].phrase).lower()
        if told.hours <= 0 or told.clips < 1 or told.events < 0:
            raise InputError("--hours and --clips must be above 0, --events not below")
        measured: dict[str, float] = {}
        if told.only != "recall" and told.events > 0:
            banks = acceptance_phrases(phrase, told.cache, told.clips, told.jobs)
            measured = delay(packages[0], banks, told.events)
        if told.only == "delay":
            lines, passed = verdict_lines(measured)
            print("\n".join([f"{packages[0].id}:", *lines]))
            return 0 if passed else 1
        other = peer(phrase)
        packages += [other] if other is not None else []
        audio = acceptance_audio(phrase, told.cache, told.hours, told.clips, told.jobs)
        verdicts = judge(packages, audio)
        costs = [measure_cost(package.model) for package in packages]
    except NoctuleError as error:
        print(f"bench: {error.explain()}", file=sys.stderr)
        return error.exit_code
    print("\n".join(show(verdicts, costs)))
    first, threshold = verdicts[0], packages[0].threshold
    lines, _ = verdict_lines(summary(first, first.threshold, {}))
    print("\n".join(["", f"{packages[0].id} at {first.threshold:.3f}, chosen on this test's streams:", *lines[:4]]))
    lines, passed = verdict_lines(summary(first, threshold, costs[0] | measured))
    print("\n".join(["", f"{packages[0].id} at its own threshold, {threshold:.3f}, which knew nothing of this test:",
                     *lines]))  # fmt: skip
    if told.json is not None:
        tables: list[dict[str, Any]] = [{**v.table(), "cost": c} for v, c in zip(verdicts, costs, strict=True)]
        text = json.dumps({"phrase": phrase, "packages": tables, "delay": measured}, indent=1)
        told.json.write_text(text + "\n", encoding="utf-8")
    return 0 if passed else 1
