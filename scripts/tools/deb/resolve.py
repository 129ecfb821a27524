"""Makes the lock. pip resolves for another Python and machine, but evaluates markers as if for its own (pypa/pip
#11010), so its answer is completed and pruned here by the markers of the target until nothing is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.deb.lockfile import MACHINES, Pin, Target, closure, project_requirements


def lock(target: Target) -> list[Pin]:
    """The pins of one Python, for every machine. Raises RuntimeError with pip's words when there is no solution."""
    roots = project_requirements()
    first, *others = MACHINES  # the boards' machine decides the releases: it has the fewer wheels
    pins = _complete(target, first, roots)
    for machine in others:
        same = _report(target, machine, [f"{pin.name}=={pin.version}" for pin in pins.values()], deps=False)
        for name, other in same.items():
            pins[name].wheels |= other.wheels
    return list(pins.values())


def _complete(target: Target, machine: str, roots: Sequence[str]) -> dict[str, Pin]:
    environment = target.environment(machine)
    wanted = [_bare(text) for text in roots if _applies(text, environment)]
    for _ in range(8):
        pins = _report(target, machine, wanted, deps=True)
        reached, unmet = closure(roots, pins, environment)
        if not unmet:
            return {name: pin for name, pin in pins.items() if name in reached}
        wanted += unmet
    raise RuntimeError(f"Python {target.python} on {machine}: no end to what is missing: {', '.join(unmet)}")


def _applies(text: str, environment: dict[str, str]) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate(environment)


def _bare(text: str) -> str:
    requirement = Requirement(text)
    return f"{requirement.name}{requirement.specifier}"


def _report(target: Target, machine: str, wanted: Sequence[str], deps: bool) -> dict[str, Pin]:
    """What pip would install, from its installation report (format 1)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run",
             "--ignore-installed", "--report", str(report), *([] if deps else ["--no-deps"]),
             *pip_target(target, machine, Path(folder) / "unused"), *wanted],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"Python {target.python} on {machine}: {done.stderr.strip()[-600:]}")
        found: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["install"]
    pins: dict[str, Pin] = {}
    for entry in found:
        about, download = entry["metadata"], entry["download_info"]
        name = canonicalize_name(about["name"])
        wheel = download["url"].rsplit("/", 1)[-1]
        digest = download["archive_info"]["hashes"]["sha256"]
        pins[name] = Pin(name, about["version"], {wheel: digest}, _relevant(about.get("requires_dist", [])))
    return pins


def _relevant(requires: Sequence[str]) -> tuple[str, ...]:
    """Without what only an extra of the package itself brings: no requirement of ours names one."""
    return tuple(text for text in requires if "extra ==" not in text)


def pip_target(target: Target, machine: str, folder: Path) -> list[str]:
    """pip's arguments for installing into `folder` as that Python on that machine would, from wheels alone."""
    platforms = [word for name in target.platforms(machine) for word in ("--platform", name)]
    return [
        "--target", str(folder), "--only-binary=:all:", "--python-version", target.python, "--implementation", "cp",
        "--abi", target.tag, "--abi", "abi3", "--abi", "none", *platforms,
    ]  # fmt: skip
