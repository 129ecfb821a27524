"""What the installed service survives, under a real systemd. Runs as root inside `scripts/checks/container`.

After each blow: the service is back and `status` tells the truth within 10 s, and no acknowledged timer is lost. The
style is that of inside_container.py; the blows that need a real kernel of one's own (clock, memory of a whole unit)
are in inside_board.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from inside_container import CONFIG as CONFIG_FILE
from inside_container import UNIT, cursor, drop_in, entries, sh, show, until
from installing import install, purge, upgrade
from survival_clients import flood, half_sent, malformed_http, malformed_wyoming, slow_clients
from survival_world import (
    BACK,
    CONFIG,
    SOCKET,
    STATE,
    Mouth,
    ask,
    back,
    children,
    film,
    healthy,
    request,
    set_timer,
    small_state,
    squeezed,
    status,
    timers,
)  # fmt: skip

from checks import run_checks

RECORDING = Path("config/demo/time.wav")


def ready_again(since: str, seconds: float) -> None:
    """Wait for READY=1 after the cursor `since`."""
    until("ready again", lambda: entries(since, NOCTULE_KIND="service.ready"), seconds)


def pid() -> int:
    return int(show("MainPID"))


def check_frozen_parts() -> None:
    """each part that has a heartbeat is frozen in turn: the watchdog notices, and everything comes back"""
    kept = {set_timer()}
    for part in [one["name"] for one in status()["parts"]]:
        with drop_in(f"[Service]\nEnvironment=NOCTULE_DEBUG_FREEZE={part}\nWatchdogSec=3\n"):
            sh("systemctl", "restart", UNIT, timeout=90)
            until("every part works", healthy)
            since = cursor()
            os.kill(pid(), signal.SIGUSR2)
            # turns may take a minute over one command, and a camera half a minute to open
            ready_again(since, 120)
            back(since, f"{part} frozen", kept)
        frozen = entries(since, NOCTULE_KIND="part.frozen")
        # the event loop carries the API itself, so whoever freezes it also silences who would say so
        assert frozen or part == "api", f"nobody said that {part} froze"
    sh("systemctl", "restart", UNIT, timeout=90)


def check_stopped_process() -> None:
    """the whole process is stopped (SIGSTOP): the watchdog kills it and it comes back"""
    kept = {set_timer()}
    with drop_in("[Service]\nWatchdogSec=3\n"):
        sh("systemctl", "restart", UNIT, timeout=90)
        until("every part works", healthy)
        since = cursor()
        os.kill(pid(), signal.SIGSTOP)
        ready_again(since, 60)
        back(since, "process stopped", kept)
    sh("systemctl", "restart", UNIT, timeout=90)


def check_killed_again_and_again() -> None:
    """kill -9 eight times in a row: systemd does not give up, and the timers live through it"""
    kept = {set_timer(), set_timer("set a pasta timer for 90 minutes")}
    for _ in range(8):
        since, victim = cursor(), pid()
        os.kill(victim, signal.SIGKILL)
        ready_again(since, 30)
    back(since, "the eighth kill -9", kept)


def check_children() -> None:
    """capture processes are killed and stopped: each is replaced, and the service itself goes on"""
    kept, main = {set_timer()}, pid()
    until("every part works", healthy)
    for blow in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV):
        (victim,) = until("a capture process", children)
        os.kill(victim, blow)
        began = time.monotonic()
        until("another process", lambda victim=victim: children() and victim not in children(), BACK)
        until("pictures again", healthy, BACK)
        took = time.monotonic() - began
        assert took < BACK
        print(f"  {blow.name}: pictures again after {took:.1f} s")
    assert pid() == main
    assert kept <= timers()


def check_out_of_memory() -> None:
    """memory runs out in a capture process: that alone dies; in the service: the kernel kills it and it comes back"""
    kept = {set_timer()}
    until("every part works", healthy)
    main = pid()
    with squeezed(main, 20 << 20):  # a new capture process does not fit
        (victim,) = children()
        os.kill(victim, signal.SIGKILL)
        until("killed for memory", lambda: "SIGKILL" in status()["eyes"]["sources"][0]["last_error"], 30)
        assert ask("what time is it")["ok"]
        assert pid() == main, "the service died of its capture process"
    until("pictures again", healthy, BACK)
    request("POST", "/pause", {})
    until("the film is closed", lambda: not children())
    since = cursor()
    with squeezed(main, 1 << 20), half_sent(SOCKET, 60, 60_000):
        ready_again(since, 30)
    back(since, "out of memory", kept)


def check_full_disk() -> None:
    """the state's disk is full: a timer is refused in words, asking works; with room again timers are kept"""
    with small_state("1m"):
        until("every part works", healthy)
        kept = {set_timer()}
        filler = STATE / "filler"
        sh("dd", "if=/dev/zero", f"of={filler}", "bs=4k", ok=False)
        answers = [ask(f"set a timer for {minutes} minutes") for minutes in range(20, 60)]
        refused = [answer for answer in answers if not answer["ok"]]
        kept |= {answer["data"]["timer"] for answer in answers if answer["ok"]}
        assert refused, "forty timers fit on a full disk"
        assert "No space left" in refused[0]["reply"], refused[0]
        assert ask("what time is it")["ok"]
        since = cursor()
        os.kill(pid(), signal.SIGKILL)
        ready_again(since, 30)
        back(since, "full disk and kill -9", kept)
        filler.unlink()
        kept.add(set_timer())
        since = cursor()
        os.kill(pid(), signal.SIGKILL)
        ready_again(since, 30)
        back(since, "room again and kill -9", kept)


def check_read_only_state() -> None:
    """the state's file system turns read-only, as an SD card at its end does: the same"""
    with small_state("8m"):
        until("every part works", healthy)
        kept = {set_timer()}
        # inside the unit's own mounts too: the file system, not the mount
        sh("mount", "-o", "remount,ro", "tmpfs", str(STATE))
        answer = ask("set a timer for 20 minutes")
        assert not answer["ok"], answer
        assert "Read-only file system" in answer["reply"], answer
        assert ask("what time is it")["ok"]
        since = cursor()
        os.kill(pid(), signal.SIGKILL)
        ready_again(since, 30)
        back(since, "read-only state and kill -9", kept)
        sh("mount", "-o", "remount,rw", "tmpfs", str(STATE))


def check_thousand_clients() -> None:
    """1,000 clients at once: each is answered or sent away in words, a timer rings in time, everything goes on"""
    main, since = pid(), cursor()
    number = set_timer("set a timer for 3 seconds")
    answered, refused, broken = flood(1000)
    assert answered + refused == 1000, f"{answered} answered, {refused} refused, {broken}"
    assert answered >= 64
    fired = until("the timer", lambda: [e for e in entries(since, NOCTULE_KIND="timer.fired")
                                        if e["NOCTULE_NUMBER"] == str(number)])  # fmt: skip
    assert float(fired[0]["NOCTULE_LATE_S"]) < 1, fired[0]["NOCTULE_LATE_S"]
    until("every part works", healthy, BACK)
    assert pid() == main
    print(f"  {answered} answered, {refused} sent away, the timer {fired[0]['NOCTULE_LATE_S']} s late")


def check_slow_clients() -> None:
    """100 clients that never finish their request: they are sent away, and a good one is answered within 10 s"""
    main = pid()
    with slow_clients(SOCKET, 100):
        began = time.monotonic()
        until("an answer beside them", status, BACK)
        print(f"  answered after {time.monotonic() - began:.1f} s")
        until("they are gone", lambda: status()["api"]["clients"] == 1, 20)
    assert pid() == main
    healthy()


def check_malformed() -> None:
    """10,000 malformed requests and 10,000 malformed Wyoming lines: refused, and nothing grows"""
    main, kept = pid(), {set_timer()}
    until("every part works", healthy)
    malformed_http(SOCKET, 500), malformed_wyoming(500)
    before = status()["memory"]["resident_bytes"]
    began = time.monotonic()
    malformed_http(SOCKET, 9500), malformed_wyoming(9500)
    print(f"  {time.monotonic() - began:.0f} s")
    until("every part works", healthy, BACK)
    grown = status()["memory"]["resident_bytes"] - before
    assert grown < 8 << 20, f"{grown >> 20} MiB more"
    assert pid() == main
    assert kept <= timers()
    assert len(os.listdir(f"/proc/{main}/fd")) < 64  # noqa: PTH208 - a number of descriptors, not paths


def check_ears_after_all() -> None:
    """after all of that the wake word is still heard"""
    since = cursor()
    MOUTH[0].say()
    heard = until("the wake word", lambda: entries(since, NOCTULE_KIND="wake.heard"), 30)
    print(" ", heard[0]["MESSAGE"])


def check_upgrade() -> None:
    """an upgrade in place keeps the configuration, the models' folder and the timers"""
    kept, text = {set_timer()}, CONFIG_FILE.read_text()
    mine = STATE / "models" / "mine"
    mine.mkdir(parents=True)
    since = cursor()
    upgrade()
    until("ready", lambda: entries(since, NOCTULE_KIND="service.ready"), 60)
    until("every part works", healthy, BACK)
    assert CONFIG_FILE.read_text() == text
    assert mine.is_dir()
    assert kept <= timers()


def check_purge() -> None:
    """purging leaves nothing behind"""
    purge()
    left = sh("find", "/etc", "/opt", "/usr", "/var/lib", "/run", "-name", "*noctule*",
              "-not", "-path", "/run/noctule-test*", "-not", "-path", "/usr/share/doc/*", ok=False)  # fmt: skip
    kept = [line for line in left.splitlines() if line.startswith("/")]
    assert not kept, kept
    assert "noctule" not in sh("getent", "passwd")
    assert subprocess.run(["systemctl", "cat", UNIT], capture_output=True, check=False).returncode != 0


MOUTH: list[Mouth] = []


def main(wanted: list[str]) -> int:
    print(install())
    film()
    MOUTH.append(Mouth(RECORDING))
    CONFIG_FILE.write_text(CONFIG)
    sh("systemctl", "restart", UNIT, timeout=90)
    until("every part works", healthy)
    return run_checks(globals(), wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
