"""Installing Noctule inside a container or a virtual board: from this checkout, or as a Debian package.

NOCTULE_INSTALL=deb chooses the package, which must lie in /root/src/dist. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from inside_container import sh

DIST = Path("dist")


def _package() -> str:
    found = sorted(DIST.glob("noctule_*.deb"), key=lambda path: path.stat().st_mtime)
    fitting = [p for p in found if p.name.rsplit("_", 1)[1].removesuffix(".deb") in _architectures()]
    assert fitting, f"NOCTULE_INSTALL=deb, but there is no package for this machine in {DIST.absolute()}"
    return str(fitting[-1].absolute())


def _architectures() -> tuple[str, str]:
    return (sh("dpkg", "--print-architecture").strip(), "all")


def deb() -> bool:
    """Whether the package was chosen."""
    chosen = os.environ.get("NOCTULE_INSTALL", "checkout")
    assert chosen in ("checkout", "deb"), f"NOCTULE_INSTALL is {chosen}, not checkout or deb"
    return chosen == "deb"


def install() -> str:
    """Install and start it; what the installer said last."""
    if deb():
        out = sh("dpkg", "--install", "--force-confold", _package(), timeout=600)
    else:
        out = sh("scripts/install", "--wheels", "/root/wheels", timeout=900)
    return out.strip().splitlines()[-1]


def upgrade() -> None:
    """The same version again, over what is there."""
    install()


def purge() -> None:
    """Take everything away."""
    if deb():
        sh("dpkg", "--purge", "noctule", timeout=300)
    else:
        sh("scripts/install", "--purge")
