"""The unit file: what the service relies on, and nothing that an older systemd would not know.

`scripts/test` has systemd itself verify it and rate its exposure; this runs where there is no systemd.
"""

from __future__ import annotations

import re
from pathlib import Path

UNIT = Path(__file__).resolve().parents[3] / "systemd" / "noctule.service"

#: directives of newer systemd than the 249 of JetPack 6; it would ignore them with a warning.
TOO_NEW = {
    "RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryKSM", "ExtensionDirectories", "RestrictFileSystems",
    "PrivatePIDs", "ProtectControlGroupsEx", "PrivateBPF", "StateDirectoryQuota", "OpenFile", "SetLoginEnvironment",
    "ImportCredential", "NFTSet", "CoredumpReceive", "DelegateSubgroup", "StartupCPUWeight", "MemoryZSwapWriteback",
    "RuntimeRandomizedExtraSec", "ExitType", "RestrictNetworkInterfaces",
}  # fmt: skip


def directives() -> list[tuple[str, str]]:
    lines = UNIT.read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Z]\w*=", line)]  # type: ignore[misc]


def value(name: str) -> str:
    found = [text for key, text in directives() if key == name]
    assert len(found) == 1, (name, found)
    return found[0]


def test_the_service_contract() -> None:
    assert value("Type") == "notify", "notify-reload needs systemd 253"
    assert value("ExecReload") == "/bin/kill -HUP $MAINPID"
    assert value("ExecStart") == "/opt/noctule/venv/bin/noctule run"
    assert value("RestartPreventExitStatus") == "78"
    assert value("Restart") == "on-failure"
    assert value("StartLimitIntervalSec") == "0", "systemd would give it up for good"
    assert value("KillMode") == "mixed", "capture processes are ended by their owner"
    assert value("OOMPolicy") == "continue", "a capture process may die alone"
    assert value("User") == value("Group") == value("RuntimeDirectory") == value("StateDirectory") == "noctule"


def test_the_watchdog_leaves_room_for_a_stall_to_be_seen() -> None:
    from noctule.config import Config

    assert int(value("WatchdogSec")) > Config().supervision.stall
    assert int(value("TimeoutStopSec")) > Config().service.stop_timeout + 2


def test_nothing_newer_than_systemd_249() -> None:
    assert not {key for key, _ in directives()} & TOO_NEW
    assert value("Type") != "notify-reload"


def test_no_privilege_and_no_network() -> None:
    assert value("CapabilityBoundingSet") == value("AmbientCapabilities") == ""
    assert value("NoNewPrivileges") == value("PrivateNetwork") == value("MemoryDenyWriteExecute") == "yes"
    assert value("RestrictAddressFamilies") == "AF_UNIX AF_NETLINK"
    assert value("DevicePolicy") == "closed"


def test_every_exception_from_the_sandbox_says_why() -> None:
    """What loosens the sandbox stands in a paragraph with a comment before it."""
    lines = UNIT.read_text().splitlines()
    loosens = re.compile(
        r"DeviceAllow|SystemCallFilter=sched|Limit(RTPRIO|MEMLOCK)|RestrictRealtime=no|SupplementaryGroups"
        r"|RestrictAddressFamilies|RuntimeDirectoryMode"
    )
    loose = [number for number, line in enumerate(lines) if loosens.match(line)]
    assert len(loose) > 10
    for number in loose:
        above = next(line for line in reversed(lines[:number]) if not re.match(r"(DeviceAllow|Limit|Restrict)", line))
        assert above.startswith("#"), lines[number]
