"""The daemon under soak: the real command with a configuration, a microphone made of a pipe, and a log of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from collections import Counter
from pathlib import Path
from typing import Any

from noctule.api.client import Client
from noctule.core.errors import NoctuleError

ROOT = Path(__file__).resolve().parents[3]
RECORDING = ROOT / "config" / "demo" / "time.wav"
#: seconds of silence after each time the recording is played.
PAUSE = 12.0
#: bytes of one tenth of a second of sound.
_TENTH = 3200


class SoakError(Exception):
    """The soak cannot go on."""


def configuration(folder: Path, display: str) -> str:
    """Everything on: ears on a pipe, answers spoken into files, a watched and an unwatched display, Wyoming, clips of
    what woke it; small quotas, so that sweeping is part of the load."""
    return f"""
[service]
state_dir = "{folder}/state"
models = ["{ROOT}/models"]
[api]
socket = "{folder}/control.sock"
[audio]
source = "path"
path = "{folder}/sound"
output = "file:{folder}/answers"
[wake]
save = true
save_quota = 1
[wyoming]
listen = "unix://{folder}/wyoming.sock"
[capture]
folder = "{folder}/pictures"
quota_mb = 4
min_free_mb = 10
linger = 2.0
[sources.display]
kind = "x11"
address = "{display}"
[sources.hall]
kind = "x11"
address = "{display}"
fps = 5
preroll = 2.0
motion = true
scenes = true
[commands.lights]
phrases = ["turn on the lights"]
run = ["true"]
reply = "The lights are on."
"""


class Daemon:
    """The service as a child process."""

    def __init__(self, folder: Path, display: str) -> None:
        self.folder = folder
        self.path = folder / "control.sock"
        self.wyoming = folder / "wyoming.sock"
        self.log = folder / "noctule.log"
        (folder / "noctule.toml").write_text(configuration(folder, display))
        os.mkfifo(folder / "sound")

    def start(self) -> None:
        """Start it and wait for READY=1. Raises SoakError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self.log.open("w") as log:
            ready.bind(str(self.folder / "notify.sock"))
            ready.settimeout(1.0)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "noctule", "run", "--config", str(self.folder / "noctule.toml")],
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify.sock"), "MALLOC_ARENA_MAX": "2",
                     "PYTHONPATH": str(ROOT / "daemon")},
                stdout=log, stderr=log,
            )  # fmt: skip
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in ready.recv(65536):
                        return
        raise SoakError(f"the daemon did not become ready:\n{self.log.read_text()[-2000:]}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self, timeout: float = 30.0) -> Client:
        return Client(self.path, timeout)

    def stop(self) -> tuple[int, float]:
        """End it as systemd would; (exit status, seconds)."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15), time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(), time.monotonic() - began


class Voice:
    """Plays the recording into the pipe in real time, again and again, while somebody listens."""

    def __init__(self, pipe: Path) -> None:
        self.pipe = pipe
        #: how often the recording was played to somebody who listened from its beginning to its end.
        self.played = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        with wave.open(str(RECORDING)) as file:
            # after its microphone was opened the detector is deaf for two seconds
            self._speech = bytes(3 * 16000 * 2) + file.readframes(file.getnframes())

    def __enter__(self) -> Voice:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        sound = self._speech + bytes(int(PAUSE * 16000) * 2)
        while not self._stop.is_set():
            try:
                # not blocking: with nobody there opening fails, and a listener that stopped reading costs sound
                pipe = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                self._stop.wait(0.5)
                continue
            with contextlib.suppress(BrokenPipeError):
                self._play(pipe, sound)
            os.close(pipe)

    def _play(self, pipe: int, sound: bytes) -> None:
        began, tenth = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began + tenth / 10 - time.monotonic())):
            start = tenth * _TENTH % len(sound)
            with contextlib.suppress(BlockingIOError):
                os.write(pipe, sound[start : start + _TENTH])
            tenth += 1
            if start <= len(self._speech) < start + _TENTH:
                self.played += 1


class Ledger:
    """What the daemon says on /events, counted; and what became of each timer it acknowledged."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.kinds: Counter[str] = Counter()
        #: timers' numbers that are set and neither over nor cancelled; and how late the latest was, in seconds.
        self.open_timers: set[int] = set()
        self.latest = 0.0
        #: events that were missed because this listener was too slow.
        self.gaps = 0
        self._due: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ledger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(NoctuleError, OSError):
                for line in self._daemon.client(120).stream("GET", "/events"):
                    self._note(line)
                    if self._stop.is_set():
                        return
            self._stop.wait(0.5)

    def _note(self, event: dict[str, Any]) -> None:
        kind, fields = str(event.get("kind")), event.get("fields", {})
        self.kinds[kind] += 1
        if kind == "service.drops":
            self.gaps += 1
        if kind == "timer.set":
            self.open_timers.add(fields["number"])
            self._due[fields["number"]] = event["monotonic"] + fields["duration_s"]
        elif kind in ("timer.fired", "timer.cancelled"):
            self.open_timers.discard(fields["number"])
            due = self._due.pop(fields["number"], None)
            if kind == "timer.fired" and due is not None:
                self.latest = max(self.latest, event["monotonic"] - due)
