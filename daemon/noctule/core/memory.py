"""What lives long and what does not: garbage in cycles, and the allocator's free memory given back.

Python looks at everything that lives only when what came since is a quarter of it. In a service that has loaded its
libraries that is every ten minutes or so: cycles of sockets, tasks and errors gather to 10 MB, and then a look takes
70 ms (a quarter of a second on a small board). So what lives when the service is ready is set aside (`gc.freeze`),
and the rest, which is little, is looked at every minute.

malloc keeps what is freed for the next time, also where that never comes: in an hour of answers, pictures and clips
the service's heap grew from 83 to 92 MB, of which 13 were free (glibc 2.36, two arenas).
"""

from __future__ import annotations

import ctypes
import gc
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


def tidy() -> None:
    """Free what nobody can reach any more, and give the pages back. Milliseconds after `set_aside`: once a minute."""
    gc.collect()
    trim()


def set_aside() -> None:
    """Everything that is left now is there to stay: look at all of it once more, then set it aside.

    For when the service is ready, and when a model went or came. What was set aside and is in a cycle is not freed
    before the next time.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim()
