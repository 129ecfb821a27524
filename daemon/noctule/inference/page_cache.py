"""Gives back memory that only loading a model needed. Imports no runtime.

A runtime reads the whole graph file while it prepares it: the operators of every signature, and all weights when it
repacks them into its cache for the first time. Later only rows of the embedding table are looked up in it. The pages
stay mapped until they are dropped; one that is touched again comes back from the page cache or the disk. And what
the preparation freed stays in malloc's heap until that is trimmed. Of a 135M model with six signatures
(ai-edge-litert 2.3, x86-64) the two are 11 and 14 of 249 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

from noctule.core.memory import trim

_DONT_NEED = 4  # MADV_DONTNEED, the same number on every Linux


def give_back(path: Path) -> None:
    """Drop the pages of the mapped model file `path` from this process, and trim the heap. Does nothing where it
    cannot."""
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in mappings(path):
            libc.madvise(start, end - start, _DONT_NEED)
    trim()


def mappings(path: Path) -> list[tuple[int, int]]:
    """First and last address (exclusive) of each read-only mapping of a file in this process."""
    found = []
    wanted = str(path.resolve())
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        # address perms offset device inode path; a written page of a private mapping would be lost
        addresses, permissions, _, _, _, *name = line.split(maxsplit=5)
        if name == [wanted] and "w" not in permissions:
            first, _, last = addresses.partition("-")
            found.append((int(first, 16), int(last, 16)))
    return found
