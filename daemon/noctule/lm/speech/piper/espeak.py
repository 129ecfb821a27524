"""espeak-ng in a process of its own: text to phonemes, clause by clause. Used by one thread.

The process is started with the first text and asked with a deadline; one that does not answer in time is ended and a
new one asked once. It ends by itself when its pipe closes, so it never outlives this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from noctule.core.errors import ModelError, UnavailableError

#: seconds for the first sign of life, and for one text (a page of text takes 20 ms)
START, ANSWER = 10.0, 5.0
#: seconds the process has to end by itself
STOP = 0.5
_CHILD = Path(__file__).with_name("espeak_child.py")


class SpokenClause(NamedTuple):
    """phonemes as IPA; mark: the sign that ended it, or ""; ends: it is the last of its sentence."""

    phonemes: str
    mark: str
    ends: bool


class Espeak:
    """command: what is run, for tests."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = list(command) or [sys.executable, "-I", "-S", str(_CHILD)]
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        #: processes that did not answer and were ended
        self.restarts = 0

    def clauses(self, voice: str, text: str) -> list[SpokenClause]:
        """The clauses of a text. Raises UnavailableError when espeak-ng is not installed or does not answer, and
        ModelError for a language it does not have."""
        asked = json.dumps({"voice": voice, "text": text}).encode() + b"\n"
        for attempt in (1, 2):
            try:
                answer = self._ask(asked)
                break
            except (OSError, TimeoutError, ValueError):
                self.close()
                self.restarts += 1
                if attempt == 2:
                    raise UnavailableError("espeak-ng does not answer, so nothing can be spoken.", _HINT) from None
        if "unknown" in answer:
            raise ModelError(f"espeak-ng has no language {answer['unknown']!r}, which this voice speaks.", _HINT)
        return [SpokenClause(str(p), str(mark), bool(ends)) for p, mark, ends in answer["clauses"]]

    def close(self) -> None:
        """End the process; may be called twice."""
        process, self._process = self._process, None
        self._rest = b""
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, asked: bytes) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(asked)
        process.stdin.flush()
        return self._answer(process, ANSWER)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            )
            hello = self._answer(self._process, START)
            if "ready" not in hello:
                self.close()
                why = str(hello.get("error", "espeak-ng cannot be used"))
                raise UnavailableError(f"Nothing can be spoken: {why}.", "sudo apt install espeak-ng")
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], limit: float) -> dict[str, Any]:
        """One line, within `limit` seconds. Raises TimeoutError, OSError, ValueError."""
        assert process.stdout is not None
        deadline = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    raise OSError("it ended")
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        return answer


_HINT = "is the package espeak-ng installed? sudo apt install espeak-ng"
