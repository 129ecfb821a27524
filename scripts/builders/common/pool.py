"""Runs chunks of work, each in a fresh helper process, a few at a time.

Why not an executor: the speech libraries carry state from one utterance to the next, so that a chunk gives equal
bytes only when its process has said nothing else; and a library that crashes must take one chunk with it, named in
the error, not the pool. A finished chunk is a file with its final name, so an interrupted stage goes on from there.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.common.progress import Progress
from noctule.core.errors import NoctuleError

Arrays = dict[str, NDArray[Any]]

#: how often a chunk whose helper was killed by a signal is begun anew.
_RETRIES = 4


@dataclass(frozen=True)
class Chunk:
    """`work(spec)` gives the arrays of file `out` (.npz); `work` is importable, `spec` a dataclass with a `seed`."""

    out: Path
    work: Callable[[Any], Arrays]
    spec: Any


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write an .npz so that it is either whole or absent."""
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _helper(chunk: Chunk, failure: Any) -> None:
    try:
        save_arrays(chunk.out, chunk.work(chunk.spec))
    except BaseException:  # noqa: BLE001 (the parent reports it; the text is all that survives this process)
        failure.send(traceback.format_exc())
        raise SystemExit(1) from None


def run_chunks(title: str, chunks: Sequence[Chunk], jobs: int) -> None:
    """Run what is not finished yet. A chunk that fails or crashes stops the stage with its name and last words."""
    context = multiprocessing.get_context("spawn")
    waiting = [chunk for chunk in chunks if not chunk.out.exists()]
    waiting.reverse()
    progress = Progress(title, len(chunks))
    done = len(chunks) - len(waiting)
    running: dict[int, tuple[Any, Any, Chunk]] = {}
    crashes: dict[Path, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                chunk = waiting.pop()
                if chunk.out.exists():  # another build that shares the folder was quicker
                    done += 1
                    continue
                told, failure = context.Pipe(duplex=False)
                process = context.Process(target=_helper, args=(chunk, failure), daemon=True)
                process.start()
                failure.close()
                running[process.sentinel] = (process, told, chunk)
            for sentinel in multiprocessing.connection.wait(list(running), timeout=1.0):
                process, told, chunk = running.pop(sentinel)  # type: ignore[arg-type]
                process.join()
                if process.exitcode is not None and process.exitcode < 0 and crashes.get(chunk.out, 0) < _RETRIES:
                    # espeak-ng 1.51 crashes at a few of its voices after certain others. That repeats, so the chunk
                    # says other things on the next try, and the build stays reproducible.
                    attempt = crashes[chunk.out] = crashes.get(chunk.out, 0) + 1
                    spec = dataclasses.replace(chunk.spec, seed=chunk.spec.seed + attempt * 15_485_863)
                    waiting.append(dataclasses.replace(chunk, spec=spec))
                    continue
                if process.exitcode != 0:
                    raise NoctuleError(
                        f"{title}: {chunk.out.name} failed: {_last_words(process, told)}",
                        "run the same command again to go on from here",
                    )
                done += 1
            progress.step(done)
    finally:
        for process, _, _ in running.values():
            process.terminate()
            process.join(5)
    progress.done(f"{len(chunks)} chunks")


def _last_words(process: Any, told: Any) -> str:
    try:
        text = str(told.recv()).strip().splitlines() if told.poll() else []
    except EOFError:
        text = []
    if os.environ.get("NOCTULE_BUILD_DEBUG") and text:
        return "\n".join(text)
    return text[-1] if text else f"its helper process ended with code {process.exitcode}"
