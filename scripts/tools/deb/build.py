"""`scripts/build_deb`: the Debian package, from this checkout and the locked wheels."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from noctule import __version__
from tools.deb import control, tree
from tools.deb.lockfile import TARGETS, Target
from tools.deb.wheels import installed, system_needs

MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}
#: The Pythons of Debian 12 and 13 go into one package: nine tenths of their libraries are the same files, and a board
#: that is upgraded from one Debian to the next keeps working. Ubuntu 22.04 shares little with them: its own package.
USUAL = "3.11,3.13"


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    targets = _targets(options.python)
    machine = MACHINE[options.arch]
    version = options.version or __version__ + (
        "" if options.python == USUAL else f"+py{options.python.replace(',', '+')}"
    )
    epoch = tree.commit_time()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    try:
        sites = [installed(target, machine, options.cache, options.wheels) for target in targets]
        needs: dict[str, str] = {}
        for target, site in zip(targets, sites, strict=True):
            for name, least in system_needs(site, target, machine).items():
                needs[name] = max(needs.get(name, ""), least, key=_numbers)
        built = _build(options, targets, sites, needs, version, epoch)
    except RuntimeError as error:
        print(f"build_deb: {error}", file=sys.stderr)
        return 1
    print(f"{built}: {built.stat().st_size / 1e6:.1f} MB")
    return 0


def _build(
    options: argparse.Namespace,
    targets: list[Target],
    sites: list[Path],
    needs: dict[str, str],
    version: str,
    epoch: int,
) -> Path:
    options.output.mkdir(parents=True, exist_ok=True)
    # in the cache, not in /tmp, which may be memory: 300 MB
    with tempfile.TemporaryDirectory(prefix="deb.", dir=options.cache) as work:
        root = Path(work) / "root"
        root.mkdir(mode=0o755)
        date = datetime.fromtimestamp(epoch, timezone.utc).date().isoformat()
        tree.lay_out(root, targets, sites, MACHINE[options.arch], version, date)
        if options.default_config:
            shutil.copyfile(options.default_config, root / "etc/noctule/noctule.toml")
        control.write_documents(root, version, options.maintainer, epoch)
        fields = {"version": version, "arch": options.arch, "maintainer": options.maintainer}
        control.write_control(root, targets, needs, fields)
        tree.settle(root, epoch)
        target: Path = options.output / f"noctule_{version}_{options.arch}.deb"
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        done = subprocess.run(
            ["dpkg-deb", "--root-owner-group", f"-Z{options.compression}", "--build", str(root), str(fresh)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"dpkg-deb: {done.stderr.strip()}")
        fresh.replace(target)
        return target


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _targets(text: str) -> list[Target]:
    known = {target.python: target for target in TARGETS}
    wanted = text.split(",")
    if unknown := [python for python in wanted if python not in known]:
        raise SystemExit(f"build_deb: no lock for Python {', '.join(unknown)} (there are: {', '.join(known)})")
    return [known[python] for python in sorted(wanted, key=_numbers)]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/build_deb", description=__doc__)
    host = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=False
    ).stdout.strip()
    parser.add_argument("--arch", choices=sorted(MACHINE), default=host if host in MACHINE else "amd64")
    parser.add_argument("--python", default=USUAL, metavar="LIST",
                        help=f"Pythons it has libraries for (default {USUAL}: Debian; 3.10: Jetson)")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("dist"), metavar="DIR", help="default: dist")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="take the wheels from there, without a network")
    parser.add_argument("--version", help="another version than the program's own")
    maintainer = f"{os.environ.get('DEBFULLNAME', 'Noctule')} <{os.environ.get('DEBEMAIL', 'noctule@localhost')}>"
    parser.add_argument("--maintainer", default=maintainer, help="default: $DEBFULLNAME <$DEBEMAIL>")
    parser.add_argument("--compression", choices=("xz", "gzip", "none"), default="xz", help="default: xz")
    parser.add_argument("--default-config", type=Path, metavar="FILE", help="ship this configuration (for tests)")
    cache = Path(
        os.environ.get("NOCTULE_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noctule"
    )
    parser.add_argument(
        "--cache", type=Path, default=cache, help=f"where installed packages are kept (default: {cache})"
    )
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
