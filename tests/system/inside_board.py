"""What the installed service does with real kernel devices, inside `scripts/checks/virtual_board`. Root there.

A sound card that is a loopback, a camera that shows a test pattern, a screen with a console; the real unit with its
sandbox; and what a container cannot be given: a clock to set and a memory limit of the unit's own. The style is that
of inside_container.py. Without KVM the board is five to ten times slower than its host, so the limits here are wide;
the times that count are taken in the container.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import wave
from pathlib import Path
from typing import Any

from inside_container import UNIT, cursor, entries, sh, show, until
from installing import install, python
from survival_world import SOCKET, ask, children, dial, set_timer, status, timers

from checks import run_checks

RECORDING = Path("config/demo/time.wav")
DRIVERS = Path("/sys/bus/platform/drivers")
#: the bars of vivid's first test pattern (white, yellow, cyan, green, magenta, red, blue, black) at three quarters of
#: full colour.
BARS = [(191 * r, 191 * g, 191 * b) for g in (1, 0) for r in (1, 0) for b in (1, 0)]
#: painted on the console: red, green, blue, white as the framebuffer keeps them (B, G, R, unused), and as seen.
PAINT = (b"\x00\x00\xff\x00", b"\x00\xff\x00\x00", b"\xff\x00\x00\x00", b"\xff\xff\xff\x00")
PAINTED = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
#: YUV with 4:2:0 colour and two roundings.
NEAR = 6


def part(name: str) -> dict[str, object]:
    return next(one for one in status()["parts"] if one["name"] == name)


def source(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status()["eyes"]["sources"] if one["name"] == name)
    return found


def pixels(name: str, columns: int) -> tuple[list[list[int]], float]:
    """A snapshot's colours in the middle of `columns` equal columns, three quarters down; and the seconds it took."""
    path = f"/tmp/{name}.png"
    began = time.monotonic()
    sh("noctule", "snapshot", name, "-o", path, timeout=90)
    took = time.monotonic() - began
    code = (
        "import json, sys\nfrom PIL import Image\nimage = Image.open(sys.argv[1]).convert('RGB')\n"
        "n, (w, h) = int(sys.argv[2]), image.size\n"
        "print(json.dumps([image.getpixel((w * (2 * i + 1) // (2 * n), h * 3 // 4)) for i in range(n)]))"
    )
    found: list[list[int]] = json.loads(sh(python(), "-c", code, path, str(columns)))
    return found, took


def bars() -> float:
    """A snapshot of the camera shows the eight bars; seconds it took."""
    found, took = pixels("camera", 8)
    for seen, wanted in zip(found, BARS, strict=True):
        assert all(abs(a - b) <= NEAR for a, b in zip(seen, wanted, strict=True)), (found, BARS)
    return took


def heard() -> str:
    """Play the recording into the loopback; the journal says that the wake word was heard in it."""
    # a loopback loses the beginning of what is played into it: three seconds of silence go first
    with wave.open(str(RECORDING)) as spoken, wave.open("/tmp/spoken.wav", "wb") as led_in:
        led_in.setparams(spoken.getparams())
        led_in.writeframes(bytes(3 * 2 * spoken.getframerate()) + spoken.readframes(spoken.getnframes()))
    since = cursor()
    sh("aplay", "-q", "-D", "plughw:Mic,1,0", "/tmp/spoken.wav", timeout=60)
    found = until("the wake word", lambda: entries(since, NOCTULE_KIND="wake.heard"), 30)
    message: str = found[0]["MESSAGE"]
    return message


def unplug(driver: str, device: str, module: str) -> None:
    """Take a device away as a pulled plug does, then its driver."""
    (DRIVERS / driver / "unbind").write_text(device)
    until(f"{module} unloaded", lambda: sh("modprobe", "-r", module) == "", 60)


def check_sandbox() -> None:
    """the unit's exposure is 1.2 or better, and its devices reach it all the same"""
    rating = sh("systemd-analyze", "security", "--no-pager", "--threshold=12", UNIT)
    print(" ", rating.strip().splitlines()[-1])
    now = until("the microphone is open", lambda: (s := status())["ears"]["open"] and s, 60)
    print("  listens to", now["ears"]["source"])
    assert show("User") == "noctule"
    caps = Path(f"/proc/{show('MainPID')}/status").read_text()
    assert "CapEff:\t0000000000000000" in caps


def check_wake() -> None:
    """the wake word, played into the loopback, is heard"""
    print(" ", heard())


def check_camera() -> None:
    """a snapshot of the camera is its test pattern"""
    print(f"  eight bars, after {bars():.1f} s")


def check_screen() -> None:
    """a snapshot of the display is what was painted on the console, without a privilege"""
    width, height = (int(word) for word in Path("/sys/class/graphics/fb0/virtual_size").read_text().split(","))
    Path("/dev/fb0").write_bytes(b"".join(colour * (width // 4) for colour in PAINT) * height)
    found, took = pixels("display", 4)
    assert tuple(map(tuple, found)) == PAINTED, found
    print(f"  {width}x{height}, exact colours, after {took:.1f} s")


def check_stuck_camera() -> None:
    """a capture process that hangs (as in a driver) is noticed and replaced while somebody looks"""
    with dial(SOCKET, 60.0) as viewer:
        viewer.sendall(b"GET /stream/camera.mjpg HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"\xff\xd8" not in viewer.recv(65536):  # until a picture begins
            pass
        victim = int(source("camera")["pid"])
        os.kill(victim, signal.SIGSTOP)
        until("another process", lambda: children() and victim not in children(), 60)
        print(f"  eight bars again, after {bars():.1f} s")


def check_camera_unplugged() -> None:
    """the camera is unplugged: said, not made up; plugged in again: pictures"""
    unplug("vivid", "vivid.0", "vivid")
    out = sh("noctule", "snapshot", "camera", "-o", "/tmp/none.png", ok=False, timeout=90)
    assert "no camera" in out, out
    assert not Path("/tmp/none.png").exists()
    assert "no camera" in source("camera")["last_error"], source("camera")
    print(" ", out.strip().splitlines()[0])
    sh("modprobe", "vivid")
    until("the device is back", Path("/dev/video0").exists)
    print(f"  eight bars again, after {bars():.1f} s")


def check_microphone_unplugged() -> None:
    """the microphone is unplugged: degraded, said; plugged in again: heard within seconds, without a restart"""
    main, began, since = show("MainPID"), time.monotonic(), cursor()
    unplug("snd_aloop", "snd_aloop.0", "snd-aloop")
    now = until("degraded", lambda: (s := status())["state"] == "degraded" and s, 30)
    print(f"  after {time.monotonic() - began:.1f} s:", now["troubles"][0])
    assert ask("what time is it")["ok"]
    until("out of service", lambda: part("ears")["state"] == "degraded", 60)
    assert entries(since, NOCTULE_KIND="part.degraded")
    assert "Degraded" in show("StatusText")
    began = time.monotonic()
    sh("modprobe", "snd-aloop")
    until("listening again", lambda: part("ears")["state"] == "working" and status()["ears"]["open"], 30)
    print(f"  listens again after {time.monotonic() - began:.1f} s;", heard())
    assert show("MainPID") == main


def check_clock_jumps() -> None:
    """the clock jumps by years, forwards and back: timers neither ring early nor are lost, and the service goes on"""
    main, since = show("MainPID"), cursor()
    number, began, wall = set_timer("set a timer for 40 seconds"), time.monotonic(), time.time()
    kept = set_timer()
    for jump in (1_000_000_000, -100_000_000, 0):
        sh("date", "-s", f"@{wall + jump:.0f}")
        now = status()
        assert {number, kept} <= timers()
        left = next(timer["remaining_s"] for timer in now["timers"] if timer["number"] == number)
        assert abs(left - (40 - (time.monotonic() - began))) < 5, left
    sh("date", "-s", f"@{wall + time.monotonic() - began:.0f}")
    fired = until("the timer", lambda: entries(since, NOCTULE_KIND="timer.fired"), 60)
    assert [entry["NOCTULE_NUMBER"] for entry in fired] == [str(number)]
    assert float(fired[0]["NOCTULE_LATE_S"]) < 1
    assert show("MainPID") == main
    assert kept in timers()
    print(f"  it rang {fired[0]['NOCTULE_LATE_S']} s late")


def check_out_of_memory() -> None:
    """the unit's memory is squeezed until the kernel kills it: systemd says so, and it comes back"""
    kept, since = set_timer(), cursor()
    sh("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=24M", "MemorySwapMax=0")
    until("killed for memory", lambda: "OOM killer" in sh("journalctl", "-u", UNIT, "--after-cursor", since), 120)
    sh("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=infinity")
    until("ready again", lambda: entries(since, NOCTULE_KIND="service.ready") and status(), 120)
    assert kept in timers()


def main(wanted: list[str]) -> int:
    if not Path("/run/noctule/control.sock").exists():
        print(install())
    until("ready", lambda: status()["state"] in ("ready", "degraded"), 120)
    return run_checks(globals(), wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
