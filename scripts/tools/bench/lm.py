"""`scripts/bench lm`: decoding and prefill beside llama.cpp, same weights, interleaved child processes.

Every engine runs in a process of its own and goes through the same protocol (`lm_child`); a repeat runs all of them
one after the other, so that a machine that slows down slows all. Ratios are medians of the repeats' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from builders.common.terminal import Progress
from noctule.core.errors import InputError, NoctuleError
from tools.bench import lm_report
from tools.bench.bandwidth import read_bandwidth
from tools.bench.lm_models import GGUFS, PACKAGES, Files, Pythons, build, default_python, require_llama
from tools.bench.lm_shape import token_bytes

_PARTS = Path(__file__).resolve().parent
_MARK = "RESULT "
_CHILD_TIMEOUT = 300  # seconds; a child bounds its own measuring far below
_ALL = ("identify", "decode", "deep", "first")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench lm", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "noctule" / "bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where the models are kept (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats (default 5)")
    parser.add_argument("--tokens", type=int, default=48, help="decode steps a measurement (default 48)")
    parser.add_argument("--threads", default="1,2", help="thread counts (default 1,2)")
    parser.add_argument("--json", type=Path, help="also write samples and verdicts to this file")
    parser.add_argument("--no-load", action="store_true", help="leave out the runs beside a busy loop")
    parser.add_argument("--host-python", default=default_python("NOCTULE_HOST_PYTHON", dict(os.environ)),
                        help="interpreter with scripts/requirements-host.txt (or NOCTULE_HOST_PYTHON)")  # fmt: skip
    parser.add_argument("--llama-python", default=default_python("NOCTULE_LLAMA_PYTHON", dict(os.environ)),
                        help="interpreter with llama-cpp-python and gguf (or NOCTULE_LLAMA_PYTHON)")  # fmt: skip
    return parser.parse_args(arguments)


def threads_of(text: str) -> list[int]:
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise InputError(f"--threads {text!r} is not a list of thread counts such as 1,2")
    return found


def command(engine: str, files: Files, pythons: Pythons, plan: dict[str, Any], cache: Path) -> list[str]:
    if engine in GGUFS:
        return [pythons.llama, str(_PARTS / "lm_llama.py"), str(files.ggufs[engine]), json.dumps(plan)]
    plan = {**plan, "cache": str(cache / f"weights-{engine}")}
    return [pythons.ours, str(_PARTS / "lm_ours.py"), str(files.packages[engine]), json.dumps(plan)]


def child(argv: list[str]) -> dict[str, Any]:
    """Run one measurement; TimeoutError when it takes for ever, InputError with its last words when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_CHILD_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{Path(argv[1]).name} {Path(argv[2]).name} gave nothing in {_CHILD_TIMEOUT} s") from None
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            result: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return result
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    raise InputError(f"{Path(argv[1]).name} {Path(argv[2]).name} failed: {lines[-1]}")


#: Ends with its parent, even one that was killed.
_BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(10**6): pass"


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """A busy loop for every core while the block runs."""
    spin = [sys.executable, "-c", _BUSY, str(os.getpid())]
    loops = [subprocess.Popen(spin) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.send_signal(signal.SIGKILL)
            loop.wait()


def measure(
    options: argparse.Namespace, files: Files, pythons: Pythons, progress: Progress
) -> tuple[list[dict[str, Any]], dict[int, list[float]]]:
    """Samples for `lm_report`, and read bandwidth in GB/s by thread count, one a repeat."""
    samples: list[dict[str, Any]] = []
    bandwidth: dict[int, list[float]] = {}
    threads = threads_of(options.threads)
    idle = {"parts": _ALL, "tokens": options.tokens, "budget": 20.0}
    loaded = {"parts": ("decode",), "tokens": options.tokens, "budget": 10.0}

    def run(engine: str, plan: dict[str, Any], **where: Any) -> None:
        try:
            answer = child(command(engine, files, pythons, plan, options.cache))
        except TimeoutError as error:  # the repeat goes without this sample
            progress(str(error))
        else:
            samples.append({"engine": engine, "threads": plan["threads"], **where, **answer})

    for repeat in range(options.repeats):
        order = slice(None, None, 1 if repeat % 2 == 0 else -1)  # so that nothing always comes first
        for count in threads:
            if speed := read_bandwidth(count):
                bandwidth.setdefault(count, []).append(speed[0])
            for engine in [*PACKAGES, *GGUFS][order]:
                run(engine, {**idle, "threads": count}, repeat=repeat, loaded=False)
        for engine in [] if options.no_load else ["int8", "Q8_0"][order]:
            with busy_cores():
                run(engine, {**loaded, "threads": threads[-1]}, repeat=repeat, loaded=True)
        progress(f"repeat {repeat + 1} of {options.repeats} done")
    return samples, bandwidth


def same_model(samples: Sequence[dict[str, Any]]) -> bool:
    """Do our int8 file and llama.cpp's Q8_0 say the same first words? Otherwise the comparison means nothing."""
    says = {
        engine: {tuple(s["greedy"]) for s in samples if s["engine"] == engine and "greedy" in s}
        for engine in ("int8", "Q8_0")
    }
    return len(says["int8"]) == 1 and says["int8"] == says["Q8_0"]


def load_average() -> str:
    """What else the machine did meanwhile: a loaded machine makes absolute numbers worthless, not ratios."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    progress = Progress()
    try:
        threads_of(options.threads)
        if options.repeats < 1 or options.tokens < 1:
            raise InputError("--repeats and --tokens must be at least 1")
        pythons = Pythons(sys.executable, options.host_python, options.llama_python)
        require_llama(pythons)
        files = build(options.cache, pythons, progress)
        samples, bandwidth = measure(options, files, pythons, progress)
    except NoctuleError as error:
        print(f"bench lm: {error.explain()}", file=sys.stderr)
        return error.exit_code
    found = lm_report.rows(samples, token_bytes(), bandwidth)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.repeats} interleaved repeats, load {load_average()}"
    )
    for count, speeds in bandwidth.items():
        print(f"read bandwidth on {count} threads: {statistics.median(speeds):.1f} GB/s (median)")
    print(f"same first words as llama.cpp: {'yes' if same_model(samples) else 'NO'}\n")
    print(lm_report.table(found))
    if options.json:
        report = {"samples": samples, "rows": lm_report.as_json(found), "bandwidth_gb_s": bandwidth}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0
