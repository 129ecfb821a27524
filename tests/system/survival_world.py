"""What the survival checks do to the installed service, and how they see that it came through.

Standard library only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inside_container import UNIT, entries, sh, show, until
from installing import python

SOCKET = Path("/run/noctule/control.sock")
WYOMING = Path("/run/noctule/wyoming.sock")
STATE = Path("/var/lib/noctule")
PIPE = Path("/run/noctule-test/sound")
#: beside the package's own files it would keep their folder from being purged.
FILM = PIPE.parent / "film.mp4"
#: the service must be back, and tell the truth, within this many seconds, on a machine that is not overloaded.
BACK = 10.0
#: systemd's own entry that the main process has ended (SD_MESSAGE_UNIT_PROCESS_EXIT).
EXITED = "98e322203f7a4ed290d09fe03c09fe15"

#: everything on that can be without devices: ears on a pipe, a film as an open and watched camera, Wyoming.
CONFIG = f"""
[supervision]
stall = 2
[lm]
threads = 1
[audio]
source = "path"
path = "{PIPE}"
[wyoming]
listen = "unix://{WYOMING}"
[capture]
folder = "/var/lib/noctule/pictures"
min_free_mb = 1
[sources.film]
kind = "file"
address = "{FILM}"
preroll = 1.0
motion = true
"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)

    def connect(self) -> None:
        self.sock = dial(SOCKET, float(self.timeout or 10.0))


def dial(path: Path, timeout: float = 10.0) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    sock.connect(str(path))
    return sock


def request(method: str, path: str, body: dict[str, Any] | None = None, timeout: float = 10.0) -> dict[str, Any]:
    """One request on the control socket; AssertionError for an error or no answer."""
    connection = _Connection(timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AssertionError(f"{method} {path}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()
    assert "error" not in answer, answer["error"]
    found: dict[str, Any] = answer
    return found


def status() -> dict[str, Any]:
    return request("GET", "/status", timeout=2.0)


def ask(text: str) -> dict[str, Any]:
    return request("POST", "/ask", {"text": text, "stream": False})


def film(path: Path = FILM) -> None:
    """Four seconds of moving bars."""
    path.parent.mkdir(exist_ok=True)
    code = (
        "import av, numpy as np, sys\n"
        "with av.open(sys.argv[1], 'w') as out:\n"
        "    stream = out.add_stream('mpeg4', rate=10)\n"
        "    stream.width, stream.height, stream.pix_fmt = 320, 240, 'yuv420p'\n"
        "    for i in range(40):\n"
        "        picture = np.zeros((240, 320, 3), np.uint8)\n"
        "        picture[:, i * 8 : i * 8 + 40] = 255\n"
        "        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))\n"
        "    out.mux(stream.encode(None))\n"
    )
    sh(python(), "-c", code, str(path))


class Mouth:
    """Silence into the pipe, in real time, and the recorded wake word when asked."""

    def __init__(self, recording: Path) -> None:
        PIPE.parent.mkdir(exist_ok=True)
        if not PIPE.exists():
            os.mkfifo(PIPE)
            PIPE.chmod(0o666)
        with wave.open(str(recording)) as file:
            self._speech = file.readframes(file.getnframes())
        self._due = b""
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def say(self) -> None:
        """After three seconds of silence (the detector is deaf for two once its source is open) the wake word and a
        command."""
        self._due = bytes(96_000) + self._speech

    def _run(self) -> None:
        """As much sound as time has passed: what nobody reads in time is lost, as in the air."""
        pipe, said, began = -1, 0, time.monotonic()
        while not self._stop.wait(0.05):
            now = int((time.monotonic() - began) * 16000) * 2
            size, said = min(now - said, 32000), now
            try:
                if pipe < 0:
                    pipe = os.open(PIPE, os.O_WRONLY | os.O_NONBLOCK)
                block = self._due[:size]
                taken = os.write(pipe, block.ljust(size, b"\0"))
                self._due = self._due[min(taken, len(block)) :]
            except BlockingIOError:
                continue  # a reader that is frozen
            except OSError:  # no reader, or no more
                if pipe >= 0:
                    os.close(pipe)
                pipe = -1


def children() -> list[int]:
    """The service's capture processes."""
    listed = subprocess.run(["pgrep", "-P", show("MainPID")], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def healthy() -> dict[str, Any]:
    """`status` when everything works: every part, sound, pictures. AssertionError says what does not yet."""
    now = status()
    assert now["state"] == "ready", (now["state"], now["troubles"])
    (source,) = now["eyes"]["sources"]
    assert source["state"] == "live", source
    assert source["age_s"] is not None, source
    assert source["age_s"] < 2, source
    assert now["ears"]["open"], now["ears"]
    return now


def downtime(since: str) -> float:
    """Seconds from the end of the main process to READY=1 of the next one, by the journal's monotonic stamps."""
    ended = until("the end in the journal", lambda: entries(since, MESSAGE_ID=EXITED))
    began = until("ready again in the journal", lambda: entries(since, NOCTULE_KIND="service.ready"))
    return (int(began[-1]["__MONOTONIC_TIMESTAMP"]) - int(ended[0]["__MONOTONIC_TIMESTAMP"])) / 1e6


def crowd() -> float:
    """How many times slower than by itself a process runs now: runnable processes for each core, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def back(since: str, what: str, kept: set[int]) -> None:
    """The service came back in time by itself, `status` tells the truth in time, and no timer of `kept` is lost."""
    took, limit = downtime(since), BACK * crowd()
    assert took < limit, f"{what}: {took:.1f} s until it was ready, at most {limit:.1f}"
    began = time.monotonic()
    until(f"{what}: every part works", healthy, limit)
    lost = kept - timers()
    assert not lost, f"{what}: timers {lost} are lost"
    print(
        f"  {what}: ready after {took:.1f} s, all parts at work {time.monotonic() - began:.1f} s after that was seen"
    )


def timers() -> set[int]:
    return {timer["number"] for timer in status()["timers"]}


def set_timer(words: str = "set a timer for 3 hours") -> int:
    """Set one and take it as acknowledged; its number."""
    answer = ask(words)
    assert answer["ok"], answer
    number: int = answer["data"]["timer"]
    return number


@contextlib.contextmanager
def small_state(size: str) -> Iterator[None]:
    """The state folder on a small file system of its own; the service restarts onto it, and back."""
    sh("systemctl", "stop", UNIT)
    sh("mount", "-t", "tmpfs", "-o", f"size={size},mode=0750", "tmpfs", str(STATE))
    try:
        sh("chown", "noctule:noctule", str(STATE))
        sh("systemctl", "start", UNIT, timeout=90)
        yield
    finally:
        sh("systemctl", "stop", UNIT)
        sh("umount", "-l", str(STATE))
        sh("systemctl", "start", UNIT, timeout=90)


@contextlib.contextmanager
def squeezed(process: int, limit: int) -> Iterator[None]:
    """What this process and its later children allocate from now on may be `limit` bytes; a kernel's OOM kill beyond.

    By the memory controller of cgroup v1, which a container can mount for itself where the host still has it.
    """
    root = Path("/run/memory-cgroup")
    root.mkdir(exist_ok=True)
    sh("mount", "-t", "cgroup", "-o", "memory", "cgroup", str(root))
    squeeze = root / f"noctule-survival-{uuid.uuid4().hex[:8]}"
    try:
        squeeze.mkdir()
        (squeeze / "memory.limit_in_bytes").write_text(str(limit))
        (squeeze / "cgroup.procs").write_text(str(process))
        yield
    finally:
        for left in (squeeze / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(left)
        (squeeze / "memory.limit_in_bytes").write_text("-1")
        until("the squeeze is over", lambda: _gone(squeeze), 10)
        sh("umount", "-l", str(root))


def _gone(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True
