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

from tools.demo.tour_spoken import SCENES, Person, speak

ROOT = Path(__file__).resolve().parents[3]
NOCTULE = [sys.executable, "-m", "noctule"]

REQUESTS = [
    "what time is it",
    "What's the date today?",
    "set a timer for two seconds",
    "set a pasta timer for ninety minutes",
    "which timers are running",
    "cancel the pasta timer",
    "how hot is the processor",
    "how much disk space is left",
    "take a screenshot",
    "take a picture with the camera",
    "turn on the lights",
    "what can you do",
    "who won the world cup in 1998",
    "mute the microphone",
]

#: what `noctule tail` must show before the demonstration goes on: what is missing otherwise -> a line.
WOKEN = {
    "the recorded wake word did not wake it": re.compile(r'Heard "hey noctule"', re.I),
    "the recorded command was not captured": re.compile(r"A command of [\d.]+ s was heard"),
}
FIRED = {"the two-second timer did not fire": re.compile(r"Timer \d+ for 2 seconds is over")}


class DemoError(Exception):
    """The demonstration did not go as it must."""


class Screen:
    """A real X server without a monitor, and a clock on it."""

    def __enter__(self) -> str:
        ours, theirs = os.pipe()
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        arguments = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "640x360x24", "-nolisten", "tcp"]
        self._server = subprocess.Popen(arguments, pass_fds=[theirs], **quiet)  # type: ignore[call-overload]
        os.close(theirs)
        with os.fdopen(ours) as answer:
            number = answer.readline().strip()
        if not number:
            raise DemoError("Xvfb did not start")
        clock = [
            "xclock",
            "-display",
            f":{number}",
            "-update",
            "1",
            "-geometry",
            "360x360+140+0",
            "-bg",
            "midnight blue",
        ]
        self._clock = subprocess.Popen([*clock, "-fg", "white", "-hd", "orange"], **quiet)  # type: ignore[call-overload]
        return f":{number}"

    def __exit__(self, *_: object) -> None:
        for process in (self._clock, self._server):
            process.terminate()
            process.wait(5)


class Daemon:
    """The service as a child process, with a socket of ours in the place of systemd's."""

    def __init__(self, folder: Path, display: str) -> None:
        self.folder = folder
        self.display = display
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
                 "--set", f"api.socket={self.folder / 'control.sock'}",
                 "--set", f"capture.folder={self.folder / 'pictures'}",
                 "--set", f"audio.path={self.folder / 'microphone'}",
                 "--set", f"audio.output=file:{self.folder / 'answers'}",
                 "--set", f"sources.display.address={self.display}"],
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


def wait_for(lines: list[str], wanted: dict[str, re.Pattern[str]]) -> None:
    """Until each of `wanted` is among the lines that another thread adds to, for a minute."""
    asked = time.monotonic()
    for what, seen in wanted.items():
        while not any(seen.search(line) for line in lines):
            if time.monotonic() - asked > 60:
                raise DemoError(f"{what}\n" + "\n".join(lines))
            time.sleep(0.1)


def talk(daemon: Daemon, person: Person) -> None:
    """The spoken session: every recording must wake it, be heard, be answered and be answered aloud.

    What is misheard is shown as it is: how often that happens is in the model's card, not here.
    """
    print("\na spoken session, by voices of an engine that no model here was trained on:")
    wrong, broken = speak(NOCTULE, daemon.env, person, daemon.folder / "answers")
    print(f"\n  {len(SCENES) - len(wrong)} of {len(SCENES)} as meant" + "".join(f"\n  {what}" for what in wrong))
    if broken:
        raise DemoError("\n".join(broken))


def converse(daemon: Daemon, person: Person) -> None:
    """The spoken session, a dozen requests in writing, and the timer that one of them sets."""
    with tail(daemon) as lines:
        talk(daemon, person)
        wait_for(lines, WOKEN)
        for request in REQUESTS:
            print(f"\n  you      {request}\n  noctule  {daemon.run('ask', request)}")
        wait_for(lines, FIRED)
    print("\nwhat `noctule tail` saw:")
    for line in lines:
        print("  " + line)


def look(daemon: Daemon) -> None:
    """A picture of the display, and an extraction: real pictures of a clock that moves."""
    print("\nnoctule snapshot, and noctule extract --every 1s, of a display with a clock:")
    print("  " + daemon.run("snapshot", "display", "-o", str(daemon.folder / "display.png")))
    out = daemon.run("extract", "display", "--every", "1s", "--for", "3", "-o", str(daemon.folder / "extracted"))
    print("  " + out.splitlines()[-1])
    pictures = sorted((daemon.folder / "extracted").glob("*.jpg"))
    if len(pictures) < 3 or len({picture.read_bytes() for picture in pictures}) < 2:
        raise DemoError("the clock on the display did not move in the pictures")


def tour(folder: Path) -> None:
    with Screen() as display:
        person = Person(folder / "microphone")
        daemon = Daemon(folder, display)
        print(f"starting the daemon ({ROOT / 'config' / 'demo.toml'})")
        print(f"ready after {daemon.start():.1f} s")
        try:
            with person:
                converse(daemon, person)
            look(daemon)
            print("\nnoctule status:")
            print(re.sub("^", "  ", daemon.run("status"), flags=re.M))
        finally:
            took = daemon.stop()
    print("\nwhat the recogniser, asked to write them down, makes of the spoken answers:")
    for path in sorted(folder.glob("answers/*.wav")):
        print(f"  {path.name}  {written_down(path)}")
    print(f"\nstopped cleanly in {took:.1f} s\n\nwhere to look (answers: spoken; pictures: taken):")
    for path in sorted(
        p for p in folder.rglob("*") if p.is_file() and p.suffix in (".png", ".jpg", ".wav", ".log", ".json")
    ):
        print(f"  {path}")
    print(
        "\nnext: scripts/noctule ask what time is it; on a board: sudo scripts/install (README.md, docs/install.md)"
    )


def written_down(path: Path) -> str:
    """What `noctule transcribe` hears in a recording."""
    command = [*NOCTULE, "transcribe", str(path), "--model", str(ROOT / "models" / "moonshine-tiny-en")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return " ".join((done.stdout or done.stderr).split())


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
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
