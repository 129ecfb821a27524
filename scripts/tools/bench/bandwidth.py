"""Read bandwidth of this machine's memory, what decoding is bounded by: bandwidth.c, or numpy without a compiler."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

_REPEATS = 8
_SOURCE = Path(__file__).with_name("bandwidth.c")
_ELEMENTS = 64 << 20  # 512 MiB of 64-bit words, far beyond any cache here


def read_bandwidth(threads: int) -> tuple[float, str] | None:
    """(median GB/s, how it was measured); None for several threads without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler:
        return _compiled(compiler, threads), "C"
    return (_numpy(), "numpy") if threads == 1 else None


def _compiled(compiler: str, threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bandwidth"
        build = [compiler, "-O3", "-march=native", "-pthread", str(_SOURCE), "-o", str(program)]
        subprocess.run(build, check=True, capture_output=True, text=True)
        run = [str(program), str(threads), str(_REPEATS)]
        lines = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    return statistics.median(float(line) for line in lines)


def _numpy() -> float:
    data = np.arange(_ELEMENTS, dtype=np.int64)
    found = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        data.sum()
        found.append(data.nbytes / (time.perf_counter() - start) / 1e9)
    return statistics.median(found)
