#!/usr/bin/env python3
"""What a board installs, from pyproject.toml.

    scripts/tools/deb/requirements.py [EXTRA...]     its requirements, one a line, with those of these extras
    scripts/tools/deb/requirements.py lock           write requirements/*.txt: exact releases with hashes, each Python
    scripts/tools/deb/requirements.py check          say what a new lock would change (exit status 1), without writing

`lock` and `check` ask the package index; run them with .venv/bin/python (they need the package `packaging`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]


def renew(write: bool) -> int:
    from tools.deb.lockfile import TARGETS, read_lock, write_lock
    from tools.deb.resolve import lock

    changed = 0
    for target in TARGETS:
        pins = lock(target)
        before = {p.name: p.version for p in read_lock(target.lock).values()} if target.lock.exists() else {}
        after = {p.name: p.version for p in pins}
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                changed += 1
                print(f"Python {target.python}: {name} {before.get(name, '-')} -> {after.get(name, '-')}")
        if write:
            write_lock(target, pins)
    print(f"{len(TARGETS)} locks, {changed} changes{'' if write or not changed else ' not written'}")
    return 1 if changed and not write else 0


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["lock"], ["check"]):
        return renew(arguments[0] == "lock")
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[no-redef]
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in arguments:
        wanted += project["optional-dependencies"][extra]
    for requirement in wanted:
        print(re.sub(r"\s+|;.*", "", requirement))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
