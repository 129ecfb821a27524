"""What scripts/demo shows: the real daemon, asked through its socket by the real command, as a user would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOCTULE = [sys.executable, "-m", "noctule"]

REQUESTS = [
    "what time is it",
    "What's the date today?",
    "set a timer for two seconds",
    "could you set a pasta timer for an hour and a half please",
    "which timers are running",
    "cancel the pasta timer",
    "how hot is the processor",
    "how much disk space is left",
    "take a picture with the camera",
    "turn on the lights",
    "what can you do",
    "who won the world cup in 1998",
    "mute the microphone",
]


class DemoError(Exception):
    """The demonstration did not go as it must."""


class Daemon:
    """The service as a child process, with a socket of ours in the place of systemd's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = dict(os.environ, NOCTULE_SOCKET=str(folder / "control.sock"), PYTHONPATH=str(ROOT / "daemon"))
        self.log = folder / "noctule.log"
        self.messages: list[str] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify.sock"))

    def start(self) -> float:
        """Start it and wait for READY=1; seconds it took."""
        began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*NOCTULE, "run", "--config", str(ROOT / "config" / "demo.toml"),
                 "--set", f"service.state_dir={self.folder / 'state'}",
                 "--set", f"api.socket={self.folder / 'control.sock'}"],
                env=dict(self.env, NOTIFY_SOCKET=str(self.folder / "notify.sock")), stderr=log, stdout=log,
            )  # fmt: skip
        self._notify.settimeout(0.2)
        while time.monotonic() - began < 60:
            with contextlib.suppress(TimeoutError):
                self.messages += self._notify.recv(4096).decode().splitlines()
            if "READY=1" in self.messages:
                return time.monotonic() - began
            if self.process.poll() is not None:
                break
        raise DemoError(f"the daemon did not become ready:\n{self.log.read_text()}")

    def run(self, *args: str) -> str:
        """A noctule command; what it printed."""
        done = subprocess.run([*NOCTULE, *args], env=self.env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise DemoError(f"noctule {' '.join(args)} failed: {(done.stdout + done.stderr).strip()}")
        return done.stdout.strip()

    def stop(self) -> float:
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(10) != 0:
            raise DemoError(f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()}")
        return time.monotonic() - began


@contextlib.contextmanager
def tail(daemon: Daemon) -> Iterator[list[str]]:
    """`noctule tail` in the background; its lines so far."""
    lines: list[str] = []
    process = subprocess.Popen([*NOCTULE, "tail"], env=daemon.env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(
        target=lambda: lines.extend(line.rstrip() for line in process.stdout or ()), daemon=True
    )
    reader.start()
    try:
        yield lines
    finally:
        process.terminate()
        process.wait(5)
        reader.join(5)


def tour(folder: Path) -> None:
    daemon = Daemon(folder)
    print(f"starting the daemon ({ROOT / 'config' / 'demo.toml'})")
    print(f"ready after {daemon.start():.1f} s")
    answers: dict[str, str] = {}
    try:
        with tail(daemon) as lines:
            asked = time.monotonic()
            for request in REQUESTS:
                answers[request] = daemon.run("ask", request)
                print(f"\n  you      {request}\n  noctule  {answers[request]}")
            while not any("timer" in line.lower() and "over" in line.lower() for line in lines):
                if time.monotonic() - asked > 30:
                    raise DemoError("the two-second timer did not fire")
                time.sleep(0.1)
        print("\nwhat `noctule tail` saw:")
        for line in lines:
            print("  " + line)
        print("\nnoctule status:")
        print(re.sub("^", "  ", daemon.run("status"), flags=re.M))
    finally:
        took = daemon.stop()
    print(f"\nstopped cleanly in {took:.1f} s")
    print(f"the daemon's log: {daemon.log}")


def main() -> int:
    if len(sys.argv) > 2 or any(argument.startswith("-") for argument in sys.argv[1:]):
        print("usage: scripts/demo [FOLDER], where FOLDER is new or empty", file=sys.stderr)
        return 64
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) == 2 else Path(tempfile.mkdtemp(prefix="noctule-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        print(f"noctule: {folder} is not empty\nhint: name a new folder, or none", file=sys.stderr)
        return 65
    try:
        tour(folder)
    except DemoError as error:
        print(f"noctule: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
