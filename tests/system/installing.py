"""Installing Noctule inside a container or a virtual board: from this checkout, or as a Debian package.

NOCTULE_INSTALL=deb chooses the package, which must lie in /root/carry (see scripts/checks/container).
Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from inside_container import sh

CARRY = Path("/root/carry")


def _package() -> str:
    ours = sh("dpkg", "--print-architecture").strip()
    fitting = [p for p in sorted(CARRY.glob("*.deb")) if sh("dpkg-deb", "-f", str(p), "Architecture").strip() == ours]
    assert fitting, f"NOCTULE_INSTALL=deb, but there is no package for {ours} in {CARRY}"
    return str(fitting[0])


def deb() -> bool:
    """Whether the package was chosen."""
    chosen = os.environ.get("NOCTULE_INSTALL", "checkout")
    assert chosen in ("checkout", "deb"), f"NOCTULE_INSTALL is {chosen}, not checkout or deb"
    return chosen == "deb"


def python() -> str:
    """The Python that sees Noctule's libraries."""
    return (
        str(next(Path("/usr/lib/noctule").glob("python3.*/bin/python"))) if deb() else "/opt/noctule/venv/bin/python"
    )


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
