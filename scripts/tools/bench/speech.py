"""`scripts/bench speech`: a frame of 80 ms through codec and speech model, beside Kyutai's own code in PyTorch.

The models are moshi's, beside `moshi`, and pocket-tts, beside `pocket_tts` (--models pocket-100m,…). Same random
weights and shapes; Noctule at int8 (moshi's codec float32), the others in float32 and in their own int8 mode; every
engine in a process of its own, all of them alive, taking turns in short bursts, so that a machine that slows down
slows all. Numbers are medians over the frames of all turns; ratios are medians of each turn's ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from builders.common.terminal import Progress
from noctule.core.errors import InputError, NoctuleError
from tools.bench import speech_pocket, speech_report
from tools.bench.bandwidth import read_bandwidth
from tools.bench.speech_models import CODEBOOKS, CONFIGS, SPACE, checkpoint, package, ready

_HERE = Path(__file__).resolve().parent
ENGINES = ("noctule", "moshi float", "moshi quantised")
_POCKET = _HERE / "speech_pocket.py"
#: seconds a child may take to load, and to answer one turn
_PATIENCE = 900
_BUILD_SECONDS = 3600
#: one frame: milliseconds of each part by "wall" and by "cpu"
Frame: TypeAlias = dict[str, list[float]]


@dataclass
class Child:
    """One engine at one thread count, loaded and waiting."""

    engine: str
    threads: int
    process: subprocess.Popen[str]
    resident_mb: float = 0.0
    nice: int = 0
    turns: list[list[Frame]] = field(default_factory=list)

    def read(self) -> dict[str, Any]:
        """Its next answer; InputError with its last words when it has died."""
        if self.process.stdout is None:
            raise InputError(f"{self.engine} has no output")
        for line in self.process.stdout:
            if line.startswith("{"):
                row: dict[str, Any] = json.loads(line)
                self.resident_mb, self.nice = float(row["resident_mb"]), int(row["nice"])
                return row
        words = self.process.stderr.read().strip().splitlines() if self.process.stderr else []
        raise InputError(f"{self.engine} on {self.threads} threads died: {words[-1] if words else 'no reason given'}")

    def turn(self, frames: int) -> None:
        """Measure some frames; the first is not counted: the others' turn has emptied the caches."""
        if self.process.stdin is None:
            raise InputError(f"{self.engine} has no input")
        self.process.stdin.write(json.dumps({"frames": frames + 1}) + "\n")
        self.process.stdin.flush()
        self.turns.append(self.read()["frames"][1:])

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench speech", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "noctule" / "bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where the models are kept (default %(default)s)")
    parser.add_argument(
        "--models", default=",".join(CONFIGS), help=f"which of %(default)s,{','.join(speech_pocket.MODELS)}"
    )
    parser.add_argument("--engines", default="", help="which of "
                        f"{', '.join((*ENGINES, *speech_pocket.ENGINES[1:]))} (default: a model's)")  # fmt: skip
    parser.add_argument("--threads", default="1,2", help="thread counts (default 1,2)")
    parser.add_argument("--turns", type=int, default=5, help="turns each engine gets (default 5)")
    parser.add_argument("--frames", type=int, default=8, help="frames in a turn (default 8)")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--host-python", default=os.environ.get("NOCTULE_HOST_PYTHON", sys.executable),
                        help="interpreter with scripts/requirements-host.txt (or NOCTULE_HOST_PYTHON)")  # fmt: skip
    return parser.parse_args(arguments)


def chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"there is no {what} {name!r}", f"choose from {', '.join(known)}")
    if not names:
        raise InputError(f"no {what} is named")
    return names


def prepare(cache: Path, name: str, python: str, progress: Progress) -> None:
    """Build a model that is not in the cache yet, in a process of its own: it needs torch and much memory."""
    pocket = name in speech_pocket.MODELS

    def there() -> bool:
        return (speech_pocket.home(cache, name) / "built").is_file() if pocket else ready(cache, name)

    if there():
        return
    cache.mkdir(parents=True, exist_ok=True)
    space = os.statvfs(cache)
    free = space.f_bavail * space.f_frsize
    needed = SPACE.get(name, speech_pocket.SPACE)
    if free < needed:
        raise InputError(f"{cache} has {free / 1e9:.1f} GB free, and {name} needs {needed / 1e9:.1f} GB")
    progress(f"building {name}; kept in {cache}")
    maker = [str(_POCKET), "build"] if pocket else [str(_HERE / "speech_models.py")]
    command = [python, *maker, str(cache), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)
    if done.returncode or not there():
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"{name} could not be built: {words[-1]}", "is this the host interpreter? see --host-python")


def start(engine: str, threads: int, name: str, options: argparse.Namespace) -> Child:
    weights = options.cache / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    if name in speech_pocket.MODELS:
        home = speech_pocket.home(options.cache, name)
        if engine == "noctule":
            command = [sys.executable, str(_POCKET), "noctule", str(home / "lm"), str(threads), str(weights)]
        else:
            source = str(home / "checkpoint" / f"{name}.yaml")
            command = [
                options.host_python,
                str(_POCKET),
                *engine.split()[:1],
                source,
                str(threads),
                engine.split()[1],
            ]
    elif engine == "noctule":
        command = [sys.executable, str(_HERE / "speech_ours.py"), str(package(options.cache, name)), str(threads)]
        command.append(str(weights))
    else:
        source = str(checkpoint(options.cache, name))
        command = [options.host_python, str(_HERE / "speech_moshi.py"), source, str(CODEBOOKS[name])]
        command += [str(threads), engine.removeprefix("moshi ")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Child(engine, threads, subprocess.Popen(command, text=True, env=environment, **pipes))


def measure(
    name: str, threads: int, engines: Sequence[str], options: argparse.Namespace
) -> tuple[list[Child], float]:
    """All engines at one thread count, in turns; every second round runs backwards: nothing is always first.

    Also the best read bandwidth met in between, GB/s; 0 when it cannot be measured.
    """
    reads = [0.0]
    with ExitStack() as stack:
        children = []
        for engine in engines:  # one after another: loading must not race for memory
            child = start(engine, threads, name, options)
            stack.callback(child.close)
            child.read()
            children.append(child)
        for turn in range(options.turns):
            if (read := read_bandwidth(threads)) is not None:
                reads.append(read[0])
            for child in children[:: 1 if turn % 2 == 0 else -1]:
                child.turn(options.frames)
    return children, max(reads)


def frame_bytes(streams: dict[str, Any], frames: int) -> int:
    """Bytes the language model reads for a frame in the context bucket that holds this many frames."""
    buckets = streams["buckets"]
    bucket = next((size for size in buckets if size >= frames), buckets[-1])
    read = streams["bytes_per_frame"]
    return int(read["temporal"][str(bucket)] + read["depth"])


def read_bytes(name: str, cache: Path, frames: int) -> int:
    """`frame_bytes` of a model in the cache."""
    pocket = name in speech_pocket.MODELS
    folder = speech_pocket.home(cache, name) / "lm" if pocket else package(cache, name)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if pocket:
        read = manifest["pocket"]["bytes_per_frame"]
        return int(read["step"] + read["head"])
    return frame_bytes(manifest["streams"], frames)


def main(arguments: Sequence[str]) -> int:
    options, progress = parse(arguments), Progress()
    try:
        names = chosen(options.models, (*CONFIGS, *speech_pocket.MODELS), "model")
        wanted = chosen(options.engines, (*ENGINES, *speech_pocket.ENGINES), "engine") if options.engines else None
        threads = [int(n) for n in chosen(options.threads, [str(n) for n in range(1, 65)], "thread count")]
        if options.turns < 1 or options.frames < 1:
            raise InputError("--turns and --frames must be at least 1")
        for name in names:
            prepare(options.cache, name, options.host_python, progress)
        rows: list[dict[str, Any]] = []
        bandwidth: dict[int, float] = {}
        for name in names:
            known = speech_pocket.ENGINES if name in speech_pocket.MODELS else ENGINES
            engines = [engine for engine in known if wanted is None or engine in wanted]
            for count in threads:
                children, gb_s = measure(name, count, engines, options)
                bandwidth[count] = max(gb_s, bandwidth.get(count, 0.0))
                read = read_bytes(name, options.cache, options.turns * (options.frames + 1) + 1)
                rows += speech_report.rows(name, children, read, gb_s)
                progress(f"{name} on {count} thread{'s' * (count > 1)} measured")
    except (NoctuleError, subprocess.TimeoutExpired) as error:
        text = error.explain() if isinstance(error, NoctuleError) else str(error)
        print(f"bench speech: {text}", file=sys.stderr)
        return error.exit_code if isinstance(error, NoctuleError) else 1
    cpu = platform.processor() or platform.machine()
    print(f"{cpu}, {os.cpu_count()} cores, {options.turns} turns of {options.frames} frames of 80 ms")
    for count, gb_s in bandwidth.items():
        print(f"read bandwidth on {count} thread{'s' * (count > 1)}: {gb_s:.1f} GB/s, the best met in between")
    print(speech_report.table(rows))
    print(speech_report.estimates(rows))
    if options.json:
        found = {"rows": rows, "bandwidth_gb_s": bandwidth}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0
