"""What the installed service does under a real systemd. Runs as root inside `scripts/checks/container`.

Each check is a function; the first line of its docstring is printed. Standard library only, and no pytest module on
purpose: the container has only what a board has.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from checks import run_checks

UNIT = "noctule.service"
CONFIG = Path("/etc/noctule/noctule.toml")
DROPIN = Path("/run/systemd/system/noctule.service.d/test.conf")


def sh(*argv: str, ok: bool = True, timeout: float = 60) -> str:
    """Run a command and return what it printed, both streams."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    out = done.stdout + done.stderr
    if ok and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)} exited {done.returncode}: {out.strip()}")
    return out


def show(name: str) -> str:
    return sh("systemctl", "show", "-P", name, UNIT).strip()


def until(what: str, test: Callable[[], Any], seconds: float = 30) -> Any:
    """Poll systemd's state (it offers no event for it) until `test()` is true, or fail with `what`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):
            if found := test():
                return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {what}\n{sh('journalctl', '-u', UNIT, '-n', '20', '-o', 'cat')}")


def cursor() -> str:
    out = sh("journalctl", "-n", "0", "--show-cursor")
    return out.rsplit("-- cursor: ", 1)[1].strip()


def entries(since: str, **match: str) -> list[dict[str, Any]]:
    """Journal entries of the unit after the cursor `since`, as journalctl -o json gives them."""
    out = sh("journalctl", "-u", UNIT, "-o", "json", "--after-cursor", since, ok=False)
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [entry for entry in found if all(entry.get(k) == v for k, v in match.items())]


@contextlib.contextmanager
def drop_in(text: str) -> Iterator[None]:
    """A temporary addition to the unit."""
    DROPIN.parent.mkdir(parents=True, exist_ok=True)
    DROPIN.write_text(text)
    sh("systemctl", "daemon-reload")
    try:
        yield
    finally:
        DROPIN.unlink()
        DROPIN.parent.rmdir()
        sh("systemctl", "daemon-reload")


@contextlib.contextmanager
def config(text: str) -> Iterator[None]:
    """A temporary configuration."""
    before = CONFIG.read_text()
    CONFIG.write_text(text)
    try:
        yield
    finally:
        CONFIG.write_text(before)


def check_starts() -> None:
    """systemctl start returns once READY=1 was sent, and the status line says what is loaded"""
    sh("systemctl", "restart", UNIT, timeout=90)
    assert show("ActiveState") == "active"
    assert show("Type") == "notify"
    assert show("StatusText"), "STATUS= was never sent"
    assert show("User") == "noctule"
    print("  status:", show("StatusText"))


def check_answers() -> None:
    """an answer comes through the socket, and the journal holds its fields but none of its words"""
    since = cursor()
    out = sh("noctule", "ask", "what time is it")
    assert any(c.isdigit() for c in out), out
    done = until("ask.answered in the journal", lambda: entries(since, NOCTULE_KIND="ask.answered"))[-1]
    for field in ("MESSAGE_ID", "NOCTULE_PART", "PRIORITY", "MESSAGE", "SYSLOG_IDENTIFIER"):
        assert done.get(field), f"{field} is missing: {done}"
    assert done["SYSLOG_IDENTIFIER"] == "noctule"
    everything = json.dumps(entries(since))
    assert "what time" not in everything, "a user's words are in the journal"
    explained = sh("journalctl", "-x", "-u", UNIT, "-n", "30", f"MESSAGE_ID={done['MESSAGE_ID']}")
    assert "░░ " in explained or "-- Subject" in explained, "journalctl -x shows no help"
    print("  answer:", out.strip())


def check_socket() -> None:
    """the socket is 0660 for the group, and a stranger is refused"""
    about = Path("/run/noctule/control.sock").stat()
    assert about.st_mode & 0o777 == 0o660, oct(about.st_mode)
    out = sh("runuser", "-u", "nobody", "--", "noctule", "status", ok=False)
    assert "Traceback" not in out, out
    assert "noctule:" in out, out
    print("  a stranger:", out.strip().splitlines()[0])


def check_reload() -> None:
    """a good reload is applied and said; a bad one is refused, named, and the old configuration stays"""
    since = cursor()
    with config('[service]\nverbosity = "debug"\n[lm]\nthreads = 1\n'):
        sh("systemctl", "reload", UNIT)
        texts = until("the reload in the journal", lambda: [e["MESSAGE"] for e in entries(since)])
        until(
            "threads applied", lambda: any("lm.threads is in force now" in e["MESSAGE"] for e in entries(since)), 60
        )
        until("verbosity applied", lambda: any("service.verbosity" in e["MESSAGE"] for e in entries(since)))
        assert texts
    since = cursor()
    with config("[lm]\nthreds = 1\nqueue = 0\n"):
        sh("systemctl", "reload", UNIT, ok=False)
        said = until(
            "every mistake in the journal",
            lambda: (
                (t := "\n".join(e["MESSAGE"] for e in entries(since))) and "threds" in t and "lm.queue" in t and t
            ),
        )
        assert "noctule.toml:2" in said, said
        assert show("ActiveState") == "active"
        sh("noctule", "ask", "what time is it")
    sh("systemctl", "reload", UNIT)


def check_watchdog() -> None:
    """a frozen model worker stops the pings, and systemd restarts the service"""
    unit = "[Service]\nEnvironment=NOCTULE_DEBUG_FREEZE=lm\nWatchdogSec=8\n"
    with drop_in(unit), config("[supervision]\nstall = 2\n"):
        sh("systemctl", "restart", UNIT, timeout=90)
        pid, restarts, since = show("MainPID"), int(show("NRestarts")), cursor()
        sh("systemctl", "kill", "--signal=USR2", "--kill-who=main", UNIT)
        until("a restart by the watchdog", lambda: int(show("NRestarts")) > restarts, 60)
        until("active again", lambda: show("ActiveState") == "active", 60)
        assert show("MainPID") != pid
        said = entries(since, NOCTULE_KIND="part.frozen")
        assert said, "nobody said that a part froze"
        print("  journal:", said[0]["MESSAGE"])
    sh("systemctl", "reset-failed", UNIT)
    sh("systemctl", "restart", UNIT, timeout=90)
    sh("noctule", "ask", "what time is it")


def check_kill() -> None:
    """kill -9 brings the service back, and a timer that was acknowledged is still there"""
    out = sh("noctule", "ask", "set a timer for 45 minutes")
    assert "45" in out, out
    pid = show("MainPID")
    sh("systemctl", "kill", "--signal=KILL", "--kill-who=main", UNIT)
    until("a new process", lambda: show("MainPID") not in (pid, "0") and show("ActiveState") == "active", 60)
    listed = sh("noctule", "ask", "list my timers")
    assert "44" in listed or "45" in listed, listed
    print("  after kill -9:", listed.strip())


def check_stops() -> None:
    """systemctl stop ends it within 2 s, by its own will"""
    began = time.monotonic()
    sh("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    assert show("Result") == "success", show("Result")
    assert took < 2.5, f"{took:.1f} s"  # 2 s for the service, the rest for systemctl on a loaded machine
    assert not Path("/run/noctule/control.sock").exists()
    out = sh("noctule", "status", ok=False)
    assert "not running" in out, out


def check_config_error() -> None:
    """a configuration with mistakes exits 78, names them in the journal, and is not restarted"""
    sh("systemctl", "reset-failed", UNIT)
    since = cursor()
    with config("[lm]\nthreds = 1\n"):
        sh("systemctl", "start", UNIT, ok=False)
        assert show("ExecMainStatus") == "78", show("ExecMainStatus")
        assert show("NRestarts") == "0"
        until("the mistake", lambda: any("did you mean threads" in e["MESSAGE"] for e in entries(since)))
    sh("systemctl", "reset-failed", UNIT)
    sh("systemctl", "start", UNIT, timeout=90)


def check_remove() -> None:
    """removing leaves the configuration and the state; purging leaves nothing"""
    sh("scripts/install", "--remove")
    assert CONFIG.exists()
    assert Path("/var/lib/noctule").exists()
    sh("scripts/install", "--purge")
    left = sh("find", "/etc", "/opt", "/usr/share", "/var/lib", "/run", "-name", "*noctule*", ok=False)
    assert not [x for x in left.splitlines() if x.startswith("/") and "/source" not in x], left
    assert "noctule" not in sh("getent", "passwd")


def main() -> int:
    print(sh("scripts/install", "--wheels", "/root/wheels", timeout=300).strip())
    return run_checks(globals(), [])


if __name__ == "__main__":
    sys.exit(main())
