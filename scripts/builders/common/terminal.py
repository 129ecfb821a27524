"""What the user sees: progress lines with times, and silence from the converters."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator


class Progress:
    """Lines on stderr, each with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the converters' chatter (C++ banners included) off the terminal; show it when the block fails."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.memfd_create("chatter")
    level = logging.root.manager.disable
    os.dup2(sink, 2)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except BaseException:
        sys.stderr.flush()
        os.write(saved, os.pread(sink, 1 << 20, 0))
        raise
    finally:
        sys.stderr.flush()
        logging.disable(level)
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
