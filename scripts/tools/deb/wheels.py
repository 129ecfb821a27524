"""The locked wheels, installed into a folder as one Python on one machine would have them; kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.deb import elf
from tools.deb.lockfile import Target
from tools.deb.resolve import pip_target

#: neither needed to run nor asked for by a licence: other programs' tests, headers, type stubs, build helpers,
#: installers' records (dpkg keeps its own), and LiteRT's accelerators for graphics and neural processors, which want
#: their makers' libraries and are never loaded (noctule/tflite.py gives their folders as nowhere).
_USELESS_FOLDERS = ("tests", "test", "include", "__pycache__", "ai_edge_litert/vendors")
_USELESS_FILES = (
    "*.pyi", "*.a", "*.h", "*.pxd", "*.pyx", "*.pyc", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json",
    "libLiteRtWebGpuAccelerator.so", "_*_tests.cpython-*.so", "completion.sh",
)  # fmt: skip
#: seconds after which what another lock left in the cache is removed
_FORGOTTEN = 7 * 86400
#: a folder of that name that is part of what runs
_KEPT = ("numpy/testing",)


def installed(target: Target, machine: str, cache: Path, wheelhouse: Path | None = None) -> Path:
    """The folder of installed packages. Raises RuntimeError with pip's words. Only locked hashes get in."""
    rules = repr((_USELESS_FOLDERS, _USELESS_FILES, _KEPT)).encode()
    digest = hashlib.sha256(target.lock.read_bytes() + rules).hexdigest()[:16]
    folder = cache / f"site-{target.tag}-{machine}-{digest}"
    if folder.is_dir():
        return folder
    for older in cache.glob(f"site-{target.tag}-{machine}-*"):
        if time.time() - older.stat().st_mtime > _FORGOTTEN:
            shutil.rmtree(older, ignore_errors=True)
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    offline = ["--no-index", "--find-links", str(wheelhouse)] if wheelhouse else []
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
         "--no-deps", "--require-hashes", *offline, *pip_target(target, machine, fresh), "-r", str(target.lock)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise RuntimeError(f"the locked packages for Python {target.python}, {machine}: {done.stderr.strip()[-800:]}")
    prune(fresh)
    try:
        fresh.rename(folder)
    except OSError:  # another build was quicker
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def prune(site: Path) -> None:
    """Remove what no board needs."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for name in _USELESS_FOLDERS:
        for folder in sorted(site.rglob(name), reverse=True):
            if folder.is_dir() and not any(str(folder).endswith(kept) for kept in _KEPT):
                shutil.rmtree(folder)
    for pattern in _USELESS_FILES:
        for file in site.rglob(pattern):
            file.unlink()
    for file in site.rglob("*"):
        if not file.is_symlink():
            file.chmod(0o755 if file.is_dir() else 0o644)


#: soname -> Debian package, of all that may be asked of the system. Both Debian and Ubuntu name them so.
_SYSTEM = {
    "libc.so.6": "libc6", "libm.so.6": "libc6", "libdl.so.2": "libc6", "libpthread.so.0": "libc6",
    "librt.so.1": "libc6", "ld-linux-x86-64.so.2": "libc6", "ld-linux-aarch64.so.1": "libc6",
    "libresolv.so.2": "libc6", "libutil.so.1": "libc6", "libmvec.so.1": "libc6", "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1", "libz.so.1": "zlib1g", "libatomic.so.1": "libatomic1",
}  # fmt: skip
#: glibc's minor -> the newest GLIBCXX that the libstdc++ of that release of Debian or Ubuntu has
_GLIBCXX = {35: 30, 36: 30, 39: 33, 41: 33}
#: GLIBCXX_3.4.N -> the first libstdc++6 that has it
_LIBSTDCXX = {21: 5, 22: 6, 24: 7, 25: 8, 26: 9, 28: 10, 29: 11, 30: 12, 32: 13, 33: 14}


def system_needs(site: Path, target: Target, machine: str) -> dict[str, str]:
    """Debian package -> least version ("" for any) that the libraries in `site` need.

    Raises RuntimeError when one is for another machine, needs a library nobody has, or a glibc newer than there.
    """
    libraries = {path: about for path in site.rglob("*.so*") if (about := elf.read(path)) is not None}
    ours = {path.name for path in libraries} | {about.soname for about in libraries.values()}
    packages: dict[str, str] = {}
    glibc, glibcxx, wrong = 0, 0, []
    for path, about in libraries.items():
        where = path.relative_to(site)
        if about.machine != elf.MACHINE[machine]:
            wrong.append(f"{where} is for another machine ({about.machine})")
        for soname in about.needed - ours:
            if soname not in _SYSTEM:
                wrong.append(f"{where} needs {soname}")
            else:
                packages.setdefault(_SYSTEM[soname], "")
        for soname, version in about.versions:
            number = version.rpartition(".")[2]
            if soname in ours or not number.isdigit():
                continue
            if version.startswith("GLIBC_2."):
                minor = int(version.split(".")[1])
                glibc = max(glibc, minor)
                if minor > target.glibc:
                    wrong.append(f"{where} needs {version}")
            elif version.startswith("GLIBCXX_3.4."):
                glibcxx = max(glibcxx, int(number))
                if int(number) > _GLIBCXX.get(target.glibc, 0):
                    wrong.append(f"{where} needs {version}")
    if wrong:
        raise RuntimeError(f"Python {target.python}, {machine}: " + "; ".join(sorted(wrong)))
    if glibc:
        packages["libc6"] = f"2.{glibc}"
    if glibcxx:
        packages["libstdc++6"] = str(min(gcc for number, gcc in _LIBSTDCXX.items() if number >= glibcxx))
    return packages
