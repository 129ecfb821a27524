"""The allocator's free memory, given back to the system. L1.

malloc keeps what is freed for the next time, also where that never comes: in an hour of answers, pictures and clips
the service's heap grew from 83 to 92 MB, of which 13 were free (glibc 2.36, two arenas).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


@cache
def _malloc_trim() -> Callable[[ctypes.c_size_t], int] | None:
    """glibc's function (since 2.8), looked up once: each look makes a class that only the garbage collector frees."""
    try:
        function: Callable[[ctypes.c_size_t], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return function


def trim() -> None:
    """Give back every free page; nothing where the C library cannot. Milliseconds."""
    function = _malloc_trim()
    if function is not None:
        function(ctypes.c_size_t(0))
