"""Listening to what native libraries print on file descriptor 2. L1.

The TFLite runtimes print a page of INFO lines at each load and explain their errors nowhere else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_stderr_lock = threading.RLock()


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Collects what C++ code writes to file descriptor 2 meanwhile; yields a function that returns it so far.

    Lines that are not a runtime's (another thread's) are passed on afterwards.
    """
    with _stderr_lock:
        try:
            saved = os.dup(2)
        except OSError:  # the process was started without a stderr
            yield lambda: ""
            return
        sink = os.memfd_create("stderr")
        os.dup2(sink, 2)

        def said() -> str:
            return os.pread(sink, 1 << 20, 0).decode("utf-8", "replace")

        try:
            yield said
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            text = said()
            os.close(sink)
            ours = "".join(line for line in text.splitlines(keepends=True) if not _is_runtime_line(line))
            if ours:
                os.write(2, ours.encode())


def _is_runtime_line(line: str) -> bool:
    return not line.strip() or line.startswith(("INFO:", "WARNING:", "ERROR:", "└", "See instructions:", "VERBOSE:"))


def explain(error: str, said: str) -> str:
    """The most telling line: the first ERROR line the runtime printed, else its exception."""
    for line in said.splitlines():
        if line.startswith("ERROR:"):
            return one_line(line.removeprefix("ERROR:"))
    return one_line(error)


def one_line(text: str) -> str:
    return " ".join(text.replace("└", " ").split())[:300] or "no reason given"
