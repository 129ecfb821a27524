"""`noctule run` as a process of its own, with a real model: what systemd sees and what a terminal shows."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noctule.api.client import Client
from noctule.core.errors import NoctuleError

WAIT = 30.0
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


class Daemon:
    """The real command with a NOTIFY_SOCKET of ours; the model is random but runs for real."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "noctule.toml"
        self.path = folder / "run" / "control.sock"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(WAIT)
        self.said: list[str] = []
        shutil.copytree(FIXTURES / "llama-tiny", folder / "models" / "talker")
        manifest = folder / "models" / "talker" / "manifest.json"
        words = json.loads(manifest.read_text())
        turn = {"prefix": "", "suffix": "\n"}
        words["chat"] = {"template": {"user": turn, "assistant": turn}, "stop": []}
        manifest.write_text(json.dumps(words))
        self.configure("")

    def configure(self, lm: str) -> None:
        self.config.write_text(
            f'[api]\nsocket = "{self.path}"\n[service]\nmodels = ["models"]\nstate_dir = "state"\n'
            f'[lm]\nmodel = "talker"\nthreads = 1\n{lm}'
        )

    def start(self, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "noctule", "run", "--config", str(self.config)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NOTIFY_SOCKET": str(self.folder / "notify"),
                 **env},
        )  # fmt: skip

    def hear(self, wanted: str) -> str:
        while True:
            while self.said:
                line = self.said.pop(0)
                if line.startswith(wanted):
                    return line
            self.said = self.notify.recv(65536).decode().splitlines()

    @contextlib.contextmanager
    def running(self, **env: str) -> Iterator[subprocess.Popen[str]]:
        process = self.start(**env)
        try:
            self.hear("READY=1")
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(WAIT)
            if process.stdout is not None:
                process.stdout.close()

    def client(self) -> Client:
        return Client(self.path, WAIT)

    def ask(self, text: str) -> dict[str, Any]:
        return self.client().post("/ask", {"text": text, "stream": False})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made
    made.notify.close()


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal; (exit status, everything it printed)."""
    process.send_signal(number)
    out, _ = process.communicate(timeout=WAIT)
    return process.returncode, out


def test_ready_answer_and_a_clean_end(daemon: Daemon) -> None:
    with daemon.running() as process:
        assert daemon.ask("my secret diary")["tokens"]["completion"] > 0
        code, out = end(process)
    assert code == 0
    daemon.hear("STOPPING=1")
    assert not daemon.path.exists()
    lines = out.splitlines()
    assert lines[0].endswith("is starting: loading talker")
    assert lines[-1].endswith("Noctule has stopped"), "nothing of the runtime's own after the last line"
    assert "secret" not in out
    assert "Traceback" not in out


def test_a_stop_while_generating_leaves_nothing_behind(daemon: Daemon) -> None:
    daemon.configure('max_tokens = 65536\nwhen_full = "slide"\n')
    ended: list[str] = []
    begun = threading.Event()

    def listen() -> None:
        try:
            for line in daemon.client().stream("POST", "/ask", {"text": "talk on and on"}):
                if "delta" in line:
                    begun.set()
            ended.append("done")
        except NoctuleError as error:
            ended.append(error.message)

    with daemon.running() as process:
        listener = threading.Thread(target=listen)
        listener.start()
        begun.wait(WAIT)
        code, out = end(process)
        listener.join(WAIT)
    assert code == 0
    assert ended
    assert ended[0] in ("The service is stopping.", "done")
    assert "left behind" not in out, "every part ended by itself within service.stop_timeout"


def test_ctrl_c_ends_it_like_sigterm(daemon: Daemon) -> None:
    with daemon.running() as process:
        code, out = end(process, signal.SIGINT)
    assert code == 0
    assert out.splitlines()[-1].endswith("Noctule has stopped")


def test_sighup_is_told_to_systemd_and_a_bad_file_changes_nothing(daemon: Daemon) -> None:
    with daemon.running() as process:
        daemon.configure("threds = 1\n")
        process.send_signal(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        assert daemon.hear("MONOTONIC_USEC=").removeprefix("MONOTONIC_USEC=").isdigit()
        daemon.hear("READY=1")
        assert daemon.ask("still there?")["ok"]
        code, out = end(process)
    assert code == 0
    assert "lm.threds: unknown key (did you mean threads?)" in out


def test_mistakes_in_the_configuration_exit_78_with_every_one_named(daemon: Daemon) -> None:
    daemon.configure("threds = 1\nqueue = 0\n")
    process = daemon.start()
    out, _ = process.communicate(timeout=WAIT)
    assert process.returncode == 78
    assert f"{daemon.config}:9: lm.threds: unknown key (did you mean threads?)" in out
    assert f"{daemon.config}:10: lm.queue: must be at least 1, not 0" in out
    assert "Traceback" not in out
    assert daemon.hear("STATUS=").startswith("STATUS=Refused to start: ")


def test_a_second_daemon_is_refused_and_the_first_serves_on(daemon: Daemon) -> None:
    with daemon.running() as process:
        second = daemon.start()
        out, _ = second.communicate(timeout=WAIT)
        assert second.returncode == 75
        assert f"Another noctule is running (process {process.pid})." in out
        assert daemon.ask("still there?")["ok"]


def test_after_kill_9_a_new_one_takes_over(daemon: Daemon) -> None:
    with daemon.running() as process:
        code, _ = end(process, signal.SIGKILL)
        assert code == -signal.SIGKILL
    assert daemon.path.exists(), "a killed daemon cleans nothing up"
    with daemon.running() as process:
        assert daemon.ask("are you back?")["ok"]
        assert end(process)[0] == 0


def test_the_watchdog_is_fed_and_starves_when_the_model_freezes(daemon: Daemon) -> None:
    daemon.configure("[supervision]\nstall = 1\n")
    with daemon.running(WATCHDOG_USEC="2000000", NOCTULE_DEBUG_FREEZE="lm") as process:
        daemon.hear("WATCHDOG=1")
        process.send_signal(signal.SIGUSR2)
        daemon.hear("STATUS=Degraded: lm has done no work")
        assert daemon.client().get("/status")["state"] == "degraded"
        code, out = end(process)
    assert code == 0
    assert "WATCHDOG=1" not in daemon.said
    assert "lm did not stop in time and was left behind" in out
