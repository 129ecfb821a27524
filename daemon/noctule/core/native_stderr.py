"""Listening to what native libraries print on file descriptor 2.

The TFLite runtimes print a page of INFO lines at each load and explain their errors nowhere else.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_stderr_lock = threading.RLock()
#: how lines begin that TFLite, ALSA and JACK print for nobody in particular.
_CHATTER = (
    *("INFO:", "WARNING:", "ERROR:", "└", "See instructions:", "VERBOSE:"),
    *("ALSA lib ", "Cannot connect to server", "jack server", "JackShm", "Expression '"),
)


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


def close_stderr_at_exit() -> None:
    """Let the C library close file descriptor 2 when the process ends, after Python is done with it.

    LiteRT's static destructors print INFO lines there and have no switch. Exit handlers run in reverse order, so
    this must be called when the library's statics exist, that is after the first buffers were made.
    """
    global _closes_at_exit
    libc = ctypes.CDLL(None)
    register = getattr(libc, "__cxa_atexit", None)
    if register is not None and not _closes_at_exit:
        register.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        register(ctypes.cast(libc.close, ctypes.c_void_p), 2, None)
        _closes_at_exit = True


_closes_at_exit = False


def _is_runtime_line(line: str) -> bool:
    return not line.strip() or line.startswith(_CHATTER)


def explain(error: str, said: str) -> str:
    """The most telling line: the first ERROR line the runtime printed, else its exception."""
    for line in said.splitlines():
        if line.startswith("ERROR:"):
            return one_line(line.removeprefix("ERROR:"))
    return one_line(error)


def one_line(text: str) -> str:
    return " ".join(text.replace("└", " ").split())[:300] or "no reason given"
