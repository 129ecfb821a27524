"""Running another program: no shell, no input, bounded time and output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from noctule.core.errors import CancelledError, UnavailableError

#: Bytes of output that are kept; the rest is read and thrown away, so that the program never blocks on us.
OUTPUT_LIMIT = 16_384
_POLL = 0.1


@dataclass(frozen=True)
class Output:
    """code: exit status, negative for a signal; text: standard output and error together, cut to the limit."""

    code: int
    text: str


Runner = Callable[[Sequence[str], float], Output]


def run_program(
    argv: Sequence[str],
    timeout: float,
    going_on: Callable[[], bool] = lambda: True,
    limit: int = OUTPUT_LIMIT,
    environment: Mapping[str, str] | None = None,
) -> Output:
    """Run `argv` as this process's user, in its own session, with `environment` added to its own. `going_on` is asked
    ten times a second.

    UnavailableError when it cannot be started or takes longer than `timeout` seconds, CancelledError when
    `going_on` says no; the program and its children are killed then.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
            env={**os.environ, **environment} if environment else None,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnavailableError(f"{argv[0]} cannot be started: {reason}.") from None
    try:
        text = _collect(process, timeout, going_on, limit, argv[0])
    finally:
        _end(process)
    return Output(process.returncode, text.decode("utf-8", "replace"))


def _collect(
    process: subprocess.Popen[bytes], timeout: float, going_on: Callable[[], bool], limit: int, name: str
) -> bytes:
    """Read until the program ends. A child that keeps the pipe open does not hold us: the program's end counts."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    kept = bytearray()
    descriptor = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not going_on():
                raise CancelledError(f"{name} was stopped.")
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(f"{name} took longer than {timeout:g} seconds and was stopped.")
            ready = selector.select(min(_POLL, left))
            if ready:
                block = os.read(descriptor, 65_536)
                kept += block[: limit - len(kept)]
                if block:
                    continue
                selector.unregister(descriptor)
            if process.poll() is not None:
                return bytes(kept)
            if ready:
                # Output is closed but the program runs on: wait for it without spinning.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(_POLL, left))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind: kill the session's group, reap the program, close the pipe."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
