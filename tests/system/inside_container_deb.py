"""What the Debian package does under a real systemd: install, run, upgrade, remove, purge.

Run as root by `scripts/checks/deb_test` inside `scripts/checks/container`, with two packages in /root/carry:
noctule_1.deb, and noctule_2.deb of a higher version with another default configuration. The checks build on one
another, in this order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from inside_container import CONFIG, UNIT, cursor, drop_in, entries, sh, show, until

DEBS = Path("/root/carry")
HOME = Path("/usr/lib/noctule")
STATE = Path("/var/lib/noctule")
TOKEN = "a-token-of-the-administrator"
#: what an administrator writes
OURS = "# mine\n[lm]\nthreads = 1\n"


def dpkg(*argv: str, ok: bool = True) -> str:
    return sh("dpkg", *argv, ok=ok, timeout=300)


def answers() -> None:
    out = sh("noctule", "ask", "what time is it")
    assert any(c.isdigit() for c in out), out


def field(name: str) -> str:
    return sh("dpkg-query", "-W", "-f", f"${{{name}}}", "noctule").strip()


def check_refuses_beside_a_checkout() -> None:
    """where scripts/install was used, the package says so in a sentence and changes nothing"""
    unit, venv = Path("/etc/systemd/system") / UNIT, Path("/opt/noctule/venv")
    venv.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    out = dpkg("-i", str(DEBS / "noctule_1.deb"), ok=False)
    assert "an installation from a checkout is in /opt/noctule" in out, out
    assert "hint: " in out, out
    assert not Path("/usr/bin/noctule").exists()
    unit.unlink()
    venv.rmdir()
    venv.parent.rmdir()


def check_installs() -> None:
    """dpkg -i without a network: user, folders, catalog; the service is READY"""
    began = time.monotonic()
    dpkg("-i", str(DEBS / "noctule_1.deb"))
    took = time.monotonic() - began
    assert field("Status") == "install ok installed"
    assert show("ActiveState") == "active"
    assert show("User") == "noctule"
    assert show("StatusText"), "STATUS= was never sent"
    assert sh("systemctl", "is-enabled", UNIT).strip() == "enabled"
    root, own = "root:root", "noctule:noctule"
    for path, wanted in (("/etc/noctule", f"{root} 755"), ("/etc/noctule/noctule.toml", f"{root} 644"),
                         ("/var/lib/noctule", f"{own} 750"), ("/run/noctule", f"{own} 755")):  # fmt: skip
        assert sh("stat", "-c", "%U:%G %a", path).strip() == wanted, path
    # the container's dpkg leaves manual pages out
    differing = [x for x in dpkg("--verify", "noctule", ok=False).splitlines() if "/usr/share/man/" not in x]
    assert not differing, differing
    assert not sh("find", str(HOME), "-perm", "/o+w", "-not", "-type", "l").strip()
    print(f"  {took:.0f} s; status: {show('StatusText')}")


def check_runs_what_it_carries() -> None:
    """the program and its libraries come from the package, in bytecode, and nothing of the current folder is run"""
    answers()
    assert sh("noctule", "version").strip() == f"noctule {version(1).partition('+')[0]}"
    pid = show("MainPID")
    python = os.path.realpath(f"/proc/{pid}/exe")
    assert python.startswith("/usr/bin/python3."), python
    mapped = sh("cat", f"/proc/{pid}/maps")
    assert f"{HOME}/python3" in mapped, "no vendored library is loaded"
    assert (HOME / "app/noctule/__pycache__").is_dir()
    trap = Path("/tmp/trap")
    trap.mkdir()
    (trap / "json.py").write_text("raise SystemExit('the current folder was imported')\n")
    for verb in ("status", "doctor"):  # doctor starts a Python of its own
        done = subprocess.run(["noctule", verb], cwd=trap, env={**os.environ, "PYTHONPATH": str(trap)}, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert "the current folder was imported" not in done.stdout + done.stderr, done
        assert verb == "doctor" or done.returncode == 0, done
    shared = sh("systemd-analyze", "security", "--threshold=12", "--no-pager", UNIT)
    print("  ", shared.strip().splitlines()[-1])


def check_reload_and_catalog() -> None:
    """reload applies a change, and journalctl -x has help for what is said"""
    before, since = CONFIG.read_text(), cursor()
    CONFIG.write_text('[service]\nverbosity = "debug"\n')
    sh("systemctl", "reload", UNIT)
    said = until("the reload", lambda: [e for e in entries(since) if "service.verbosity" in e["MESSAGE"]])[0]
    catalog = sh("journalctl", "--dump-catalog", said["MESSAGE_ID"])
    assert "Subject:" in catalog, catalog
    CONFIG.write_text(before)
    sh("systemctl", "reload", UNIT)


def ask_port(token: str) -> int:
    """The HTTP status of /v1/models with this token."""
    request = urllib.request.Request("http://127.0.0.1:8642/v1/models", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["data"], "no model is listed"
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_token_credential() -> None:
    """the port's token comes by LoadCredential= from a file that only root can read; the service writes none"""
    secret, more = Path("/etc/noctule/token"), Path("/etc/noctule/conf.d/port.toml")
    secret.write_text(TOKEN + "\n")
    secret.chmod(0o600)
    more.write_text('[api]\ntcp = "127.0.0.1:8642"\n')
    unit = (
        "[Service]\nLoadCredential=noctule-token:/etc/noctule/token\nPrivateNetwork=no\n"
        "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6\nIPAddressAllow=localhost\n"
    )
    with drop_in(unit):
        sh("systemctl", "restart", UNIT, timeout=90)
        assert ask_port(TOKEN) == 200
        assert ask_port("another-token-of-nobody") == 401
        assert not (STATE / "token").exists(), "a token of its own was made beside the credential"
        assert TOKEN not in sh("journalctl", "-u", UNIT), "the token is in the journal"
        assert TOKEN not in sh("systemctl", "show", UNIT), "the token is in the unit's properties"
        environment = Path(f"/proc/{show('MainPID')}/environ").read_bytes()
        assert b"CREDENTIALS_DIRECTORY=" in environment
        assert TOKEN.encode() not in environment
    secret.unlink()
    more.unlink()
    sh("systemctl", "restart", UNIT, timeout=90)


def check_python_changes() -> None:
    """when the system's Python changes, dpkg's trigger starts the service with what fits"""
    pid = show("MainPID")
    sh("dpkg-trigger", "--by-package=python3-minimal", "/usr/bin/python3")
    dpkg("--triggers-only", "noctule")
    until("another process", lambda: show("MainPID") not in (pid, "0") and show("ActiveState") == "active")
    answers()


def check_no_python_fits() -> None:
    """without a fitting Python the launcher says which it needs"""
    hidden = list(HOME.glob("python3.*"))
    for path in hidden:
        (path / "bin/python").rename(path / "bin/away")
    done = subprocess.run(["noctule", "version"], capture_output=True, text=True, check=False)
    for path in hidden:
        (path / "bin/away").rename(path / "bin/python")
    assert done.returncode == 78, done
    assert done.stderr.startswith("noctule: this package has libraries for python3."), done.stderr
    assert "hint: " in done.stderr


def version(number: int) -> str:
    return sh("dpkg-deb", "-f", str(DEBS / f"noctule_{number}.deb"), "Version").strip()


def check_upgrades() -> None:
    """an upgrade keeps the edited configuration and the timers, offers the new default, and starts it again"""
    CONFIG.write_text(OURS)
    sh("systemctl", "reload", UNIT)
    out = sh("noctule", "ask", "set a timer for 45 minutes")
    assert "45" in out, out
    (STATE / "models/mine").mkdir(parents=True)
    pid = show("MainPID")
    out = dpkg("--force-confdef", "--force-confold", "-i", str(DEBS / "noctule_2.deb"))
    assert field("Version") == version(2)
    assert CONFIG.read_text() == OURS, "the administrator's configuration was overwritten"
    offered = CONFIG.with_name("noctule.toml.dpkg-dist")
    assert "the second package" in offered.read_text()
    assert show("ActiveState") == "active", out
    assert show("MainPID") != pid
    assert (STATE / "models/mine").is_dir()
    listed = sh("noctule", "ask", "list my timers")
    assert "44" in listed or "45" in listed, listed
    assert not Path("/run/noctule.ran").exists()
    print("  after the upgrade:", listed.strip())


def check_stopped_stays_stopped() -> None:
    """what an administrator stopped, configuring the package again does not start"""
    sh("systemctl", "stop", UNIT)
    sh("/var/lib/dpkg/info/noctule.postinst", "configure", version(2), timeout=120)
    assert show("ActiveState") == "inactive"
    sh("systemctl", "reset-failed", UNIT)  # these checks start it more often than the unit allows
    sh("systemctl", "start", UNIT, timeout=90)


def check_removes() -> None:
    """removing stops it and leaves the configuration, the timers and nothing else"""
    dpkg("-r", "noctule")
    assert CONFIG.read_text() == OURS
    assert (STATE / "models/mine").is_dir()
    assert not HOME.exists(), sh("find", str(HOME))
    assert not Path("/usr/bin/noctule").exists()
    assert not Path("/run/noctule").exists()
    assert show("LoadState") == "not-found"


def check_purges() -> None:
    """purging leaves nothing: no file of that name anywhere, no user, no group"""
    dpkg("-P", "noctule")
    own = [word for path in ("/root", "/proc", "/sys") for word in ("-path", path, "-prune", "-o")]
    found = sh("find", "/", "-xdev", *own, "-iname", "*noctule*", "-print", ok=False)
    assert not found.strip(), found
    for base in ("passwd", "group", "shadow"):
        assert "noctule" not in sh("getent", base)
    assert field_of_nothing()


def field_of_nothing() -> bool:
    """Whether dpkg knows no such package."""
    return subprocess.run(["dpkg-query", "-W", "noctule"], capture_output=True, check=False).returncode != 0


def main() -> int:
    checks: list[Callable[[], None]] = [f for name, f in list(globals().items()) if name.startswith("check_")]
    for number, check in enumerate(checks):
        title = (check.__doc__ or check.__name__).splitlines()[0]
        began = time.monotonic()
        try:
            check()
        except (AssertionError, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            print(f"FAILED: {title}\n  {type(error).__name__}: {error}")
            print(f"{number} passed, 1 failed, {len(checks) - number - 1} not tried: each builds on the one before")
            return 1
        print(f"ok: {title} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(checks)} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
