"""One line of progress per stage, with an estimate of what is left; plain lines when nobody watches a terminal."""

from __future__ import annotations

import resource
import sys
import time
from typing import TextIO


def cpu_seconds() -> float:
    """User and system time of this process and of its helpers that have ended."""
    told = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in told)


class Progress:
    """`step(done)` redraws at most five times a second; on a pipe it prints a line at every tenth of the way."""

    def __init__(self, title: str, total: int, stream: TextIO | None = None) -> None:
        self._title, self._total = title, max(1, total)
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._start, self._cpu = time.monotonic(), cpu_seconds()
        self._drawn, self._tenth = 0.0, -1

    def step(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        part = min(1.0, done / self._total)
        tenth = int(part * 10)
        if self._terminal:
            if now - self._drawn < 0.2 and done < self._total:
                return
        elif tenth <= self._tenth:
            return
        self._drawn, self._tenth = now, tenth
        spent = now - self._start
        left = f"{spent / part - spent:5.0f} s left" if part > 0.02 else "estimating"
        line = f"{self._title:<10} [{'#' * int(part * 30):<30}] {100 * part:3.0f} %  {spent:5.0f} s, {left}  {note}"
        self._stream.write(f"\r{line}\033[K" if self._terminal else line.rstrip() + "\n")
        self._stream.flush()

    def done(self, note: str = "") -> None:
        spent = time.monotonic() - self._start
        cpu = cpu_seconds() - self._cpu
        end = "\r\033[K" if self._terminal else ""
        self._stream.write(
            f"{end}{self._title:<10} done in {spent:.0f} s, {cpu:.0f} s of a core  {note}".rstrip() + "\n"
        )
        self._stream.flush()
