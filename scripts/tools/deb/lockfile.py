"""The lock: which release of which package a board installs, with the SHA-256 of each wheel it may be.

One file for each Python (requirements/python3.11.txt), because releases differ by Python: pip reads it with
--require-hashes, people read the wheels' names, and the tests read what each package requires. An entry:

    yarl==1.25.1 \\
        --hash=sha256:... \\
        --hash=sha256:...
        # yarl-1.25.1-cp311-cp311-manylinux2014_aarch64....whl
        # yarl-1.25.1-cp311-cp311-manylinux2014_x86_64....whl
        # requires: idna>=2.0; multidict>=4.0      (one requirement a line, with its marker, as the wheel has it)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[3]
#: the extras of pyproject.toml that a board gets: eyes, the Wyoming protocol, MQTT. All have wheels for every board.
EXTRAS = ("capture", "voice", "mqtt")
MACHINES = ("aarch64", "x86_64")


@dataclass(frozen=True)
class Target:
    """A Python, and the oldest glibc among the systems that have it."""

    python: str
    glibc: int
    systems: str

    @property
    def tag(self) -> str:
        return "cp" + self.python.replace(".", "")

    @property
    def lock(self) -> Path:
        return ROOT / "requirements" / f"python{self.python}.txt"

    def platforms(self, machine: str) -> list[str]:
        """The platform tags a wheel may have, best first; manylinux_2_17 is the oldest in use."""
        return [f"manylinux_2_{minor}_{machine}" for minor in range(self.glibc, 16, -1)] + [
            f"manylinux2014_{machine}"
        ]

    def environment(self, machine: str) -> dict[str, str]:
        """What requirements' markers are evaluated with (PEP 508)."""
        return {
            "implementation_name": "cpython", "implementation_version": f"{self.python}.0", "os_name": "posix",
            "platform_machine": machine, "platform_python_implementation": "CPython", "platform_release": "",
            "platform_system": "Linux", "platform_version": "", "python_full_version": f"{self.python}.0",
            "python_version": self.python, "sys_platform": "linux", "extra": "",
        }  # fmt: skip


TARGETS = (
    Target("3.10", 35, "Ubuntu 22.04 (JetPack 6)"),
    Target("3.11", 36, "Debian 12, Raspberry Pi OS bookworm"),
    Target("3.12", 39, "Ubuntu 24.04"),
    Target("3.13", 41, "Debian 13, Raspberry Pi OS trixie"),
)


@dataclass
class Pin:
    """One release: wheel file name -> SHA-256 (hexadecimal), and what it requires."""

    name: str
    version: str
    wheels: dict[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()

    def text(self) -> str:
        hashes = sorted(set(self.wheels.values()))
        lines = [f"{self.name}=={self.version} \\"]
        lines += [f"    --hash=sha256:{digest}" + (" \\" if digest != hashes[-1] else "") for digest in hashes]
        lines += [f"    # {wheel}" for wheel in sorted(self.wheels)]
        lines += [f"    # requires: {requirement}" for requirement in self.requires]
        return "\n".join(lines) + "\n"


def write_lock(target: Target, pins: Iterable[Pin]) -> None:
    head = (
        f"# What a board with Python {target.python} installs: {target.systems}. Made by"
        " `scripts/tools/deb/requirements.py lock`.\n"
        f"# Wheels for {' and '.join(MACHINES)}, glibc 2.{target.glibc} or later; pip takes nothing else"
        " (--require-hashes).\n"
    )
    target.lock.parent.mkdir(exist_ok=True)
    target.lock.write_text(head + "".join("\n" + pin.text() for pin in sorted(pins, key=lambda p: p.name)), "utf-8")


def read_lock(path: Path) -> dict[str, Pin]:
    """Canonical name -> pin; each wheel's hash is not told apart here (the file lists both, sorted)."""
    pins: dict[str, Pin] = {}
    pin: Pin | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip().removesuffix("\\").strip()
        if found := re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", text):
            pin = pins.setdefault(canonicalize_name(found[1]), Pin(canonicalize_name(found[1]), found[2]))
        elif not text or (text.startswith("#") and not line.startswith(" ")):
            continue
        elif pin is None:
            raise ValueError(f"{path.name}:{number}: before the first package: {text}")
        elif found := re.fullmatch(r"--hash=sha256:([0-9a-f]{64})", text):
            pin.wheels.setdefault(f"?{len(pin.wheels)}", found[1])
        elif found := re.fullmatch(r"# requires: (.+)", text):
            pin.requires = (*pin.requires, found[1])
        elif found := re.fullmatch(r"# (\S+\.whl)", text):
            pin.wheels.setdefault(found[1], "")
        else:
            raise ValueError(f"{path.name}:{number}: not understood: {text}")
    return pins


def project_requirements(root: Path = ROOT, extras: Sequence[str] = EXTRAS) -> list[str]:
    """The dependencies of pyproject.toml with those of `extras`, markers included."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[no-redef]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    wanted: list[str] = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return wanted


def closure(
    roots: Iterable[str], pins: Mapping[str, Pin], environment: Mapping[str, str]
) -> tuple[set[str], list[str]]:
    """(names reached from `roots`, requirements that no pin satisfies), by the markers' own rules.

    Extras of a requirement (`a[b]`) bring what the package requires under that extra, as in PEP 508.
    """
    reached: set[str] = set()
    seen: set[tuple[str, str]] = set()
    unmet: list[str] = []
    waiting = [(requirement, "") for requirement in roots]
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        pin = pins.get(name)
        if pin is None or not requirement.specifier.contains(pin.version, prereleases=True):
            unmet.append(f"{requirement.name}{requirement.specifier}")
            continue
        reached.add(name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(needed, wanted) for needed in pin.requires]
    return reached, sorted(set(unmet))


def fits(wheel: str, target: Target, machine: str) -> bool:
    """Whether this wheel installs on the target: its Python, its ABI, its machine, a glibc no newer than there."""
    for tag in parse_wheel_filename(wheel)[3]:
        if (
            tag.platform != "any"
            and tag.platform not in target.platforms(machine)
            and not _older(tag.platform, machine)
        ):
            continue
        if tag.abi == "none" and tag.interpreter in ("py3", target.tag):
            return True
        if tag.abi == target.tag and tag.interpreter == target.tag:
            return True
        if (
            tag.abi == "abi3"
            and tag.interpreter.startswith("cp3")
            and int(tag.interpreter[3:]) <= int(target.tag[3:])
        ):
            return True
    return False


def _older(platform: str, machine: str) -> bool:
    return platform in (
        f"manylinux1_{machine}",
        f"manylinux2010_{machine}",
        f"manylinux_2_5_{machine}",
        f"manylinux_2_12_{machine}",
    )
