"""What dpkg reads: control, conffiles, md5sums, the scripts; and the two documents that Debian's policy asks for."""

from __future__ import annotations

import email
import email.utils
import hashlib
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.deb.lockfile import ROOT, Target
from tools.deb.tree import HOME, squeeze

SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def write_control(root: Path, targets: Sequence[Target], needs: Mapping[str, str], fields: Mapping[str, str]) -> None:
    """Fill DEBIAN/ below `root`. needs: Debian package -> least version. fields: version, arch, maintainer."""
    debian = root / "DEBIAN"
    size = installed_size(root)
    debian.mkdir()
    pythons = [f"python{target.python}" for target in reversed(targets)]
    depends = [" | ".join(pythons), "init-system-helpers (>= 1.50)", "systemd (>= 249)"]
    depends += [f"{name} (>= {version})" if version else name for name, version in sorted(needs.items())]
    text = (ROOT / "deb/control").read_text("utf-8")
    (debian / "control").write_text(
        text.format(**fields, size=size, depends=", ".join(depends), pythons=" and ".join(reversed(pythons))), "utf-8"
    )
    (debian / "conffiles").write_text("/etc/noctule/noctule.toml\n", "ascii")
    for name in SCRIPTS:
        shutil.copyfile(ROOT / "deb" / name, debian / name)
        (debian / name).chmod(0o755)
    shutil.copyfile(ROOT / "deb/triggers", debian / "triggers")
    (debian / "md5sums").write_text(_sums(root), "utf-8")
    for path in (debian, *debian.iterdir()):
        path.chmod(0o755 if path.is_dir() or path.name in SCRIPTS else 0o644)


def installed_size(root: Path) -> int:
    """KiB on disk, as dpkg-gencontrol counts: each file rounded up, a file of many names once, a folder as one."""
    total, seen = 0, set()
    for path in root.rglob("*"):
        about = path.lstat()
        if path.is_file() and not path.is_symlink():
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                total += -(-about.st_size // 1024)
        else:
            total += 1
    return total


def _sums(root: Path) -> str:
    """For `dpkg --verify`, which knows no other sum. Conffiles are left out, as dpkg does."""
    lines = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not path.is_symlink() and not name.startswith(("DEBIAN/", "etc/")):
            lines.append(f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n")
    return "".join(lines)


def write_documents(root: Path, version: str, maintainer: str, epoch: int) -> None:
    """copyright and changelog.gz. Raises RuntimeError when a vendored package does not say its licence."""
    documents = root / "usr/share/doc/noctule"
    (documents / "copyright").write_text(copyright_text(root), "utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    (documents / "changelog.gz").write_bytes(squeeze(debian_changelog(changes, version, maintainer, epoch)))


def debian_changelog(changes: str, version: str, maintainer: str, epoch: int) -> str:
    """The newest section of CHANGELOG.md as Debian's entry for `version`; the others' dates are not written there."""
    found = re.search(r"^## .+?\n(.*?)(?=^## |\Z)", changes, re.M | re.S)
    items = re.split(r"^- ", found[1], flags=re.M)[1:] if found else []
    lines = "".join(_item(item) for item in items) or _item("See CHANGELOG.md.")
    stamp = email.utils.formatdate(epoch, localtime=False)
    return f"noctule ({version}) stable; urgency=medium\n\n{lines}\n -- {maintainer}  {stamp}\n"


def _item(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 78, initial_indent="  * ", subsequent_indent="    ") + "\n"


def copyright_text(root: Path) -> str:
    """deb/copyright, and a paragraph for each vendored package, from what its own metadata says."""
    licences: dict[str, str] = {}
    for metadata in sorted((root / HOME).glob("python*/lib/python*/site-packages/*.dist-info/METADATA")):
        about = email.message_from_string(metadata.read_text("utf-8"))
        name, licence = str(about["Name"]), _licence(about)
        if not licence:
            raise RuntimeError(f"{name} does not say its licence: {metadata.relative_to(root)}")
        home = (
            next((u.split(",")[-1].strip() for u in about.get_all("Project-URL", [])), "")
            or about["Home-page"]
            or "-"
        )
        licences[name] = f"{name} {about['Version']}: {licence} ({home})"
    rows = "".join(f" {row}\n" for _, row in sorted(licences.items()))
    return (ROOT / "deb/copyright").read_text("utf-8").replace("{vendored}\n", rows)


def _licence(about: email.message.Message) -> str:
    said = about["License-Expression"] or about["License"] or ""
    if said and "\n" not in said.strip() and len(said) < 120:
        return str(said).strip()
    classes = [c.rpartition(":: ")[2] for c in about.get_all("Classifier", []) if c.startswith("License ::")]
    return " and ".join(classes)
