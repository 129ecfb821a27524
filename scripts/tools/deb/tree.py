"""The files of the package, laid out as they will lie on the board.

    /usr/bin/noctule                       the launcher: chooses the Python
    /usr/lib/noctule/app/noctule           the program, once
    /usr/lib/noctule/python3.11            a virtual environment without a tool that made it: pyvenv.cfg, bin/python
                                           (a link to the system's) and the locked packages; one for each Python

The program lies apart from the packages, so that a capture process under the system's own Python (cameras whose
libraries are only there) finds it and not the packages beside it: the system's libraries want the system's numpy.
"""

from __future__ import annotations

import filecmp
import gzip
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.deb.lockfile import ROOT, Target
from tools.deb.manpage import page

HOME = "usr/lib/noctule"
#: what Debian's python3-pyaudio consists of: a folder since 0.2.13, two files before. It has no wheels, and the
#: system's own is built against the system's PortAudio.
_PYAUDIO = {"3.10": ("pyaudio.py", "_portaudio.cpython-310-{machine}-linux-gnu.so")}
_PYAUDIO_SINCE = ("pyaudio",)
#: bytes from which a file equal in two environments becomes one
_WORTH_SHARING = 16384


def lay_out(
    root: Path, targets: Sequence[Target], sites: Sequence[Path], machine: str, version: str, date: str
) -> None:
    """Fill the empty folder `root`. sites: the installed packages of each target. date: ISO."""
    home = root / HOME
    shutil.copytree(ROOT / "daemon/noctule", home / "app/noctule", ignore=shutil.ignore_patterns("__pycache__"))
    for target, site in zip(targets, sites, strict=True):
        _environment(home, target, site, machine)
    for earlier, later in itertools.pairwise(targets):
        share(home / f"python{earlier.python}/lib", home / f"python{later.python}/lib", earlier.python, later.python)
    _copy("deb/noctule.sh", root / "usr/bin/noctule", 0o755)
    shutil.copytree(ROOT / "models", root / "usr/share/noctule/models")
    _systemd(root)
    _copy("config/noctule.toml", root / "etc/noctule/noctule.toml")
    (root / "etc/noctule/conf.d").mkdir()
    _documents(root, version, date)
    for path in root.rglob("*"):
        if not path.is_symlink() and path.parent != root / "usr/bin":
            path.chmod(0o755 if path.is_dir() else 0o644)


def _environment(home: Path, target: Target, site: Path, machine: str) -> None:
    """One Python's environment. `home =` makes it a virtual environment for Python, by PEP 405."""
    name = f"python{target.python}"
    environment = home / name
    packages = environment / "lib" / name / "site-packages"
    # copies, not links: a link that another build makes to the same file changes it while tar reads it
    shutil.copytree(site, packages)
    (environment / "bin").mkdir()
    (environment / "bin/python").symlink_to(f"../../../../bin/{name}")
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", "ascii")
    (packages / "noctule.pth").write_text(f"/{HOME}/app\n", "ascii")
    for entry in _PYAUDIO.get(target.python, _PYAUDIO_SINCE):
        entry = entry.format(machine=machine)
        (packages / entry).symlink_to(f"../../../../../python3/dist-packages/{entry}")


def share(one: Path, other: Path, python: str, another: str) -> int:
    """Make equal files of two environments one file (hard links); returns the bytes saved."""
    saved = 0
    for path in sorted((one / f"python{python}").rglob("*")):
        twin = other / f"python{another}" / path.relative_to(one / f"python{python}")
        if not path.is_file() or path.is_symlink() or twin.is_symlink() or not twin.is_file():
            continue
        size = path.stat().st_size
        if size >= _WORTH_SHARING and twin.stat().st_size == size and filecmp.cmp(path, twin, shallow=False):
            twin.unlink()
            os.link(path, twin)
            saved += size
    return saved


def _copy(source: str, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / source, target)
    target.chmod(mode)


def _systemd(root: Path) -> None:
    """The units with the launcher's path; the rest as scripts/install has it."""
    for unit, folder in (("noctule.service", "system"), ("noctule-display.service", "user")):
        text = (ROOT / "systemd" / unit).read_text("utf-8")
        changed = text.replace("/opt/noctule/venv/bin/noctule", "/usr/bin/noctule").replace(
            "below /opt", "below /usr"
        )
        target = root / "usr/lib/systemd" / folder / unit
        target.parent.mkdir(parents=True)
        target.write_text(changed, "utf-8")
    _copy("systemd/noctule.catalog", root / "usr/lib/systemd/catalog/noctule.catalog")
    _copy("systemd/noctule.sysusers", root / "usr/lib/sysusers.d/noctule.conf")
    _copy("systemd/noctule.tmpfiles", root / "usr/lib/tmpfiles.d/noctule.conf")


def _documents(root: Path, version: str, date: str) -> None:
    documents = root / "usr/share/doc/noctule"
    documents.mkdir(parents=True)
    for path in sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]):
        (documents / path.name).write_bytes(path.read_bytes())
    _copy("deb/lintian-overrides", root / "usr/share/lintian/overrides/noctule")
    manual = root / "usr/share/man/man1/noctule.1.gz"
    manual.parent.mkdir(parents=True)
    manual.write_bytes(squeeze(page(version, date)))


def squeeze(text: str) -> bytes:
    """gzip -9n."""
    return gzip.compress(text.encode(), 9, mtime=0)


def settle(root: Path, epoch: int) -> None:
    """The same time on everything, so that the same commit gives the same package."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def commit_time() -> int:
    """Seconds since 1970 of the commit, or of the changelog where there is no git."""
    if given := os.environ.get("SOURCE_DATE_EPOCH", ""):
        return int(given)
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return (
        int(done.stdout)
        if done.returncode == 0 and done.stdout.strip()
        else int((ROOT / "CHANGELOG.md").stat().st_mtime)
    )
