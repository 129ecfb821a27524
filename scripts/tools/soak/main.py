"""Runs the daemon under load for a while, samples what it holds, and writes the table with the verdict."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noctule.core.errors import NoctuleError
from tools.demo.tour import DemoError, Screen
from tools.soak.load import Load
from tools.soak.verdict import GROWING, Trend, trend
from tools.soak.watch import Holding, children, cpu_seconds, holding, thread_names
from tools.soak.world import ROOT, Daemon, Ledger, SoakError, Voice

MIB = 1 << 20
#: what one hour may add before it is a leak: less than this stays below 25 MB a day. Counts must not grow at all; one
#: in two hours is the least that a slope over an hour can tell from nothing.
BOUNDS = {"memory": 1.0, "descriptors": 0.5, "threads": 0.5}
#: the share of the run that is left out of the trend: caches fill, pictures reach their quota.
WARM_UP = 1 / 6
SAMPLES = 240


@dataclass(frozen=True)
class Sample:
    """hours: since the start; own: the daemon; others: its children, which come and go with their sources."""

    hours: float
    own: Holding
    others: list[Holding]
    cpu: float
    status: dict[str, Any]
    #: number and name of each of the daemon's threads
    threads: dict[int, str] = field(default_factory=dict)

    @property
    def restarts(self) -> int:
        return sum(part["restarts"] for part in self.status["parts"])

    @property
    def drops(self) -> int:
        """Pictures that slow viewers lost, holes in the sound, lost journal entries."""
        pictures = sum(source["dropped"] for source in self.status["eyes"]["sources"])
        return int(pictures + self.status["ears"]["gaps"] + self.status["journal"]["lost"])


def take(daemon: Daemon, began: float) -> Sample:
    """One sample of everything. SoakError when the daemon is gone."""
    if daemon.process.poll() is not None:
        raise SoakError(f"the daemon ended with {daemon.process.returncode}:\n{daemon.log.read_text()[-2000:]}")
    others = []
    for pid in children(daemon.pid):
        with contextlib.suppress(OSError, KeyError):
            others.append(holding(pid))
    status = daemon.client().get("/status")
    hours = (time.monotonic() - began) / 3600
    return Sample(hours, holding(daemon.pid), others, cpu_seconds(daemon.pid), status, thread_names(daemon.pid))


def soak(daemon: Daemon, load: Load, minutes: float) -> list[Sample]:
    """Load and samples until the time is over."""
    load.fill_pools()
    began = time.monotonic()
    end, every = began + minutes * 60, minutes * 60 / SAMPLES
    samples, due = [take(daemon, began)], began + every
    while (now := time.monotonic()) < end:
        load.step()
        if now >= due:
            due += every
            with contextlib.suppress(NoctuleError):  # refused once is the load's business; gone is noticed above
                samples.append(take(daemon, began))
    return samples


def trends(samples: Sequence[Sample]) -> dict[str, Trend]:
    """What each measure did after the warm-up."""
    late = [sample for sample in samples if sample.hours >= WARM_UP * samples[-1].hours]
    hours = [sample.hours for sample in late]
    measures: dict[str, tuple[Callable[[Sample], float], float]] = {
        "daemon PSS, MiB": (lambda s: s.own.pss / MIB, BOUNDS["memory"]),
        "daemon heap, MiB": (lambda s: s.own.heap / MIB, BOUNDS["memory"]),
        "daemon descriptors": (lambda s: s.own.fds, BOUNDS["descriptors"]),
        "daemon threads": (lambda s: s.own.threads, BOUNDS["threads"]),
        "children PSS, MiB": (lambda s: sum(o.pss for o in s.others) / MIB, BOUNDS["memory"]),
        "children": (lambda s: len(s.others), BOUNDS["threads"]),
    }
    return {name: trend(hours, [of(s) for s in late], bound) for name, (of, bound) in measures.items()}


def late_threads(samples: Sequence[Sample]) -> str:
    """The threads that began after the warm-up and were there at the end, by name: whose they are, when they grow."""
    begin = WARM_UP * samples[-1].hours
    early = {number for sample in samples if sample.hours < begin for number in sample.threads}
    late = Counter(name for number, name in samples[-1].threads.items() if number not in early)
    named = ", ".join(f"{count} × {name}" for name, count in sorted(late.items()))
    return f"Threads at the end that began after the warm-up: {named or 'none'}."


def table(samples: Sequence[Sample], rows: int = 13) -> list[str]:
    """A row for every so many minutes, and one for each trend."""
    columns = "min", "daemon PSS, RSS, heap MiB", "descriptors", "threads", "children, PSS MiB", "restarts", "drops"
    lines = [f"| {' | '.join((*columns, 'answered'))} |", "|---" * (len(columns) + 1) + "|"]
    last = len(samples) - 1
    for index in sorted({round(last * row / (rows - 1)) for row in range(rows)}):
        s = samples[index]
        memory = ", ".join(f"{size / MIB:.1f}" for size in (s.own.pss, s.own.rss, s.own.heap))
        others = f"{len(s.others)}, {sum(other.pss for other in s.others) / MIB:.1f}"
        answered = s.status["lm"]["requests"]["answered"]
        cells = (f"{s.hours * 60:.1f}", memory, s.own.fds, s.own.threads, others, s.restarts, s.drops, answered)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def verdicts(found: dict[str, Trend]) -> list[str]:
    lines = ["| measure | per hour | 95 % interval | leak above | verdict |", "|---|---|---|---|---|"]
    for name, one in found.items():
        lines.append(
            f"| {name} | {one.slope:+.2f} | {one.low:+.2f} to {one.high:+.2f} | {one.bound:g} | {one.verdict} |"
        )
    return lines


def commit() -> str:
    """What is being soaked."""
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return os.environ.get("SOAK_COMMIT") or done.stdout.strip() or "unknown"


def ends(daemon: Daemon, load: Load, ledger: Ledger, voice: Voice) -> list[str]:
    """Stop it; what is wrong that no slope shows."""
    waiting = set(ledger.open_timers)  # those that ring between this look and the next are over, not lost
    running = {timer["number"] for timer in daemon.client().get("/status")["timers"]}
    code, seconds = daemon.stop()
    log = daemon.log.read_text(errors="replace")
    wrong = [f"{count} × {what}" for what, count in load.failures.items()]
    wrong += [f"it ended with {code}"] if code else []
    wrong += [f"stopping took {seconds:.1f} s"] if seconds > 3 else []
    wrong += ["a traceback is in its log"] if "Traceback" in log else []
    wrong += ["a part was left behind when it stopped"] if "left behind" in log else []
    lost = waiting & ledger.open_timers - running
    wrong += [f"timers {sorted(lost)} were neither fired nor kept"] if lost else []
    wrong += [f"a timer rang {ledger.latest:.1f} s late"] if ledger.latest > 2 else []
    if voice.played > 3 and ledger.kinds["wake.heard"] < voice.played * 0.9:
        wrong.append(f"of {voice.played} wake words played, {ledger.kinds['wake.heard']} were heard")
    return wrong


def run(options: argparse.Namespace, folder: Path) -> int:
    began = time.monotonic()
    with Screen() as display:
        daemon = Daemon(folder, display)
        daemon.start()
        try:
            load = Load(daemon, random.Random(7))
            with Ledger(daemon) as ledger, Voice(folder / "sound") as voice:
                samples = soak(daemon, load, options.minutes)
                wrong = ends(daemon, load, ledger, voice)
        finally:
            daemon.stop()
    found = trends(samples)
    growing = [name for name, one in found.items() if one.verdict == GROWING]
    cpu = (samples[-1].cpu - samples[0].cpu) / ((samples[-1].hours - samples[0].hours) * 36)
    done = ", ".join(f"{times} {what}" for what, times in sorted(load.counts.items()))
    count = ledger.kinds
    timers = (
        f"{count['timer.set']} timers set, {count['timer.fired']} rang (the latest {ledger.latest:.2f} s late),"
        f" {count['timer.cancelled']} cancelled"
    )
    what = f"`scripts/soak --minutes {options.minutes:g}` on {commit()}, Python {platform.python_version()}"
    took = f"{(time.monotonic() - began) / 60:.0f} minutes"
    lines = [f"{what}, {platform.machine()}, {took}; the daemon and its children used {cpu:.1f} % of one core.", ""]
    lines += [*table(samples), "", *verdicts(found), ""]
    heard = f"Wake words heard {count['wake.heard']} of {voice.played} played, {load.spoken} answers spoken"
    lines += [f"Load: {done}. {heard}. {timers}.", ""]
    lines += [late_threads(samples), ""]
    lines += ["Wrong: " + ("; ".join(wrong) if wrong else "nothing") + "."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)
    return 1 if growing or wrong else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="default 60; less than 20 decides little")
    parser.add_argument("--out", type=Path, help="write the table to this file too")
    parser.add_argument("--keep", type=Path, help="an empty folder for the daemon's files; kept")
    options = parser.parse_args(arguments)
    if options.minutes < 0.5:
        parser.error("--minutes must be 0.5 or more")
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="noctule-soak-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return run(options, folder)
    except (SoakError, DemoError) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
