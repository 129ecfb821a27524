"""Run by `scripts/checks/python_versions` in an environment made from the lock: is it what the lock says, does every
module of the program import there, does the runtime compute? Exit status 1 and the reasons when not."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import platform
import sys
import warnings

from packaging.utils import canonicalize_name

import noctule
from tools.deb.lockfile import MACHINES, TARGETS, Pin, closure, project_requirements, read_lock

#: what only a system package has; a module may miss these and nothing else
SYSTEM = {"picamera2", "libcamera", "gi", "pyaudio"}


def main() -> int:
    wrong = _environment() + _imports() + _runtime()
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


def _environment() -> list[str]:
    """Compare what is installed with the lock: releases, and what each says it requires, on every machine."""
    python = ".".join(platform.python_version_tuple()[:2])
    target = next(target for target in TARGETS if target.python == python)
    pins = read_lock(target.lock)
    real: dict[str, Pin] = {}
    wrong = []
    for found in importlib.metadata.distributions():
        name: str = canonicalize_name(found.metadata["Name"])
        requires = tuple(text for text in found.requires or () if "extra ==" not in text)
        real.setdefault(name, Pin(name, found.version, requires=requires))
    for name, pin in pins.items():
        if name not in real or real[name].version != pin.version:
            wrong.append(
                f"{name}: the lock has {pin.version}, installed is {real[name].version if name in real else '-'}"
            )
        elif sorted(real[name].requires) != sorted(pin.requires):
            wrong.append(f"{name}: requires {real[name].requires}, the lock says {pin.requires}")
    locked = {name: pin for name, pin in real.items() if name in pins}
    for machine in MACHINES:
        _, unmet = closure(project_requirements(), locked, target.environment(machine))
        wrong += [f"{machine}: nothing satisfies {requirement}" for requirement in unmet]
    return wrong


def _imports() -> list[str]:
    """Import every module of the program, warnings being errors."""
    warnings.simplefilter("error")
    wrong, count = [], 0
    for module in pkgutil.walk_packages(noctule.__path__, "noctule."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
            count += 1
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in SYSTEM:
                wrong.append(f"{module.name}: {error}")
        except Exception as error:  # noqa: BLE001  whatever a module does at import is what is asked here
            wrong.append(f"{module.name}: {type(error).__name__}: {error}")
    print(f"  Python {platform.python_version()}: {count} modules imported")
    return wrong


def _runtime() -> list[str]:
    """Run a float and an int8 graph in a child process, as `noctule doctor` does."""
    from noctule.inference.probe import probe_runtime

    probe = probe_runtime()
    print(f"  {probe.sentence}")
    return [] if probe.ok else [probe.sentence]


if __name__ == "__main__":
    sys.exit(main())
