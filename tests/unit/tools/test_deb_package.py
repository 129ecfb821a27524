"""The Debian package's parts that need neither a network nor a container: layout, sharing, ELF needs, documents."""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from noctule.cli import VERBS
from tools.deb import control, elf, manpage, tree, wheels
from tools.deb.lockfile import TARGETS, Target

ROOT = Path(__file__).resolve().parents[3]
DEB = ROOT / "deb"
TARGET = next(target for target in TARGETS if target.python == "3.11")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages, as small as it gets."""
    folder = tmp_path / "site"
    (folder / "thing-1.0.dist-info").mkdir(parents=True)
    (folder / "thing-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nLicense-Expression: MIT\nHome-page: https://thing.example\n"
    )
    (folder / "thing").mkdir()
    (folder / "thing/__init__.py").write_text("# thing\n" * 3000)
    return folder


def laid_out(root: Path, sites: list[Path], targets: list[Target]) -> Path:
    root.mkdir()
    tree.lay_out(root, targets, sites, "x86_64", "1.2.3", "2026-11-22")
    return root


def test_the_tree_is_a_virtual_environment_that_runs_the_program(tmp_path: Path, site: Path) -> None:
    """The same layout with this Python in the system's place: imports come from the tree, not from here."""
    root = laid_out(tmp_path / "root", [site], [TARGET])
    home = root / "usr/lib/noctule"
    python = home / "python3.11/bin/python"
    assert str(python.readlink()) == "../../../../bin/python3.11"
    assert (python.parent / str(python.readlink())).resolve() == (root / "usr/bin/python3.11").resolve()
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if name != "python3.11":
        pytest.skip(f"the tree is made for Python 3.11, this is {name}")
    real = Path(os.path.realpath(sys.executable))
    python.unlink()
    python.symlink_to(real)
    (home / "python3.11/pyvenv.cfg").write_text(f"home = {real.parent}\ninclude-system-site-packages = false\n")
    (home / "python3.11/lib/python3.11/site-packages/noctule.pth").write_text(f"{home}/app\n")
    code = "import thing, noctule, sys; print(thing.__file__, noctule.__file__, *sys.path)"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert f"{home}/python3.11/lib/python3.11/site-packages/thing" in done.stdout
    assert f"{home}/app/noctule" in done.stdout
    assert "dist-packages" not in done.stdout
    version = subprocess.run(
        [str(python), "-I", "-m", "noctule", "version"], capture_output=True, text=True, check=False
    )
    assert version.stdout.startswith("noctule "), version.stderr


def test_the_units_run_the_launcher(tmp_path: Path, site: Path) -> None:
    root = laid_out(tmp_path / "root", [site], [TARGET])
    for unit, verb in (("system/noctule.service", "run"), ("user/noctule-display.service", "display")):
        text = (root / "usr/lib/systemd" / unit).read_text()
        assert f"ExecStart=/usr/bin/noctule {verb}\n" in text
        assert "/opt/" not in text
    assert os.access(root / "usr/bin/noctule", os.X_OK)


def test_nothing_is_writable_by_others_and_no_tool_file_is_executable(tmp_path: Path, site: Path) -> None:
    root = laid_out(tmp_path / "root", [site], [TARGET])
    for path in root.rglob("*"):
        if not path.is_symlink():
            wanted = 0o755 if path.is_dir() or path.parent.name == "bin" else 0o644
            assert path.stat().st_mode & 0o7777 == wanted, path


def test_equal_files_of_two_pythons_are_one(tmp_path: Path, site: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(site, other)
    (site / "thing/a.py").write_text("a" * 20000)
    (other / "thing/a.py").write_text("b" * 20000)
    targets = [t for t in TARGETS if t.python in ("3.11", "3.13")]
    home = laid_out(tmp_path / "root", [site, other], targets) / "usr/lib/noctule"
    one, two = (home / f"python{v}/lib/python{v}/site-packages/thing" for v in ("3.11", "3.13"))
    assert (one / "__init__.py").samefile(two / "__init__.py")
    assert not (one / "a.py").samefile(two / "a.py")
    assert not (one.parent / "thing-1.0.dist-info/METADATA").samefile(two.parent / "thing-1.0.dist-info/METADATA")


def test_pyaudio_is_lent_by_the_system(tmp_path: Path, site: Path) -> None:
    """A folder since Debian 12; a module and a library in Ubuntu 22.04."""
    targets = [t for t in TARGETS if t.python in ("3.10", "3.11")]
    home = laid_out(tmp_path / "root", [site, site], targets) / "usr/lib/noctule"
    new = home / "python3.11/lib/python3.11/site-packages/pyaudio"
    assert os.path.normpath(new.parent / new.readlink()) == f"{tmp_path}/root/usr/lib/python3/dist-packages/pyaudio"
    old = home / "python3.10/lib/python3.10/site-packages"
    assert (old / "pyaudio.py").is_symlink()
    assert (old / "_portaudio.cpython-310-x86_64-linux-gnu.so").is_symlink()


def test_control_fields(tmp_path: Path, site: Path) -> None:
    root = laid_out(tmp_path / "root", [site], [TARGET])
    control.write_documents(root, "1.2.3", "Me <me@example.org>", 1_700_000_000)
    fields = {"version": "1.2.3", "arch": "arm64", "maintainer": "Me <me@example.org>"}
    control.write_control(root, [TARGET], {"libc6": "2.34", "libgcc-s1": ""}, fields)
    text = (root / "DEBIAN/control").read_text()
    assert "\nArchitecture: arm64\n" in text
    needs = "python3.11, init-system-helpers (>= 1.50), systemd (>= 249), libc6 (>= 2.34), libgcc-s1"
    assert f"\nDepends: {needs}\n" in text
    assert (root / "DEBIAN/conffiles").read_text() == "/etc/noctule/noctule.toml\n"
    sums = (root / "DEBIAN/md5sums").read_text()
    assert "usr/lib/noctule/app/noctule/__init__.py\n" in sums
    assert "etc/noctule" not in sums
    for name in control.SCRIPTS:
        assert (root / "DEBIAN" / name).stat().st_mode & 0o777 == 0o755
    size = int(re.findall(r"Installed-Size: (\d+)", text)[0])
    assert 1000 < size < 40000, "the models and the program are some MB"
    about = (root / "usr/share/doc/noctule/copyright").read_text()
    assert "\n thing 1.0: MIT (https://thing.example)\n" in about
    changes = gzip.decompress((root / "usr/share/doc/noctule/changelog.gz").read_bytes()).decode()
    assert changes.startswith("noctule (1.2.3) stable; urgency=medium\n\n  * ")
    assert "\n -- Me <me@example.org>  Tue, 14 Nov 2023 22:13:20 -0000\n" in changes
    assert max(map(len, changes.splitlines())) <= 80


def test_a_package_without_a_licence_is_refused(tmp_path: Path, site: Path) -> None:
    (site / "thing-1.0.dist-info/METADATA").write_text("Name: thing\nVersion: 1.0\n")
    root = laid_out(tmp_path / "root", [site], [TARGET])
    with pytest.raises(RuntimeError, match="thing does not say its licence"):
        control.copyright_text(root)


def test_the_same_files_give_the_same_times(tmp_path: Path, site: Path) -> None:
    root = laid_out(tmp_path / "root", [site], [TARGET])
    tree.settle(root, 1_700_000_000)
    assert {int(path.lstat().st_mtime) for path in root.rglob("*")} == {1_700_000_000}


def test_prune_keeps_what_runs(tmp_path: Path) -> None:
    for name in ("a/tests/t.py", "a/core.py", "a/core.pyi", "a/include/a.h", "numpy/testing/__init__.py", "bin/tool",
                 "ai_edge_litert/vendors/x/libX.so", "a-1.dist-info/RECORD", "a-1.dist-info/METADATA"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    wheels.prune(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["a-1.dist-info/METADATA", "a/core.py", "numpy/testing/__init__.py"]


# ---- ELF -------------------------------------------------------------------------------------------------------


def a_library() -> Path:
    """A library of this Python's environment that asks for versions of the C library."""
    import numpy

    return next(path for path in sorted(Path(numpy.__file__).parent.rglob("_multiarray_umath*.so")))


def test_elf_needs_are_what_binutils_says() -> None:
    needs = elf.read(a_library())
    assert needs is not None
    assert needs.machine == elf.MACHINE[platform.machine()]
    assert "libc.so.6" in needs.needed
    assert any(name == "libc.so.6" and version.startswith("GLIBC_2.") for name, version in needs.versions)
    if shutil.which("readelf"):
        said = subprocess.run(
            ["readelf", "-dVW", str(a_library())], capture_output=True, text=True, check=True
        ).stdout
        assert needs.needed == set(re.findall(r"\(NEEDED\).*\[(.+?)\]", said))
        assert {v for _, v in needs.versions} == set(re.findall(r"Name: (\S+)  Flags: \S+  Version: \d+", said))


def test_what_is_no_elf_or_broken(tmp_path: Path) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(b"#!/bin/sh\n")
    assert elf.read(file) is None
    file.write_bytes(b"\x7fELF\x01\x01" + bytes(64))
    with pytest.raises(ValueError, match="neither 64-bit nor little endian"):
        elf.read(file)
    file.write_bytes(a_library().read_bytes()[:5000])
    with pytest.raises(ValueError, match="broken ELF headers"):
        elf.read(file)


def test_a_library_for_another_machine_or_a_newer_system_is_refused(tmp_path: Path) -> None:
    here = platform.machine()
    other = next(machine for machine in elf.MACHINE if machine != here)
    shutil.copy(a_library(), tmp_path / "one.so")
    with pytest.raises(RuntimeError, match=r"one\.so is for another machine"):
        wheels.system_needs(tmp_path, TARGET, other)
    with pytest.raises(RuntimeError, match=r"one\.so needs lib\w*openblas"):
        wheels.system_needs(tmp_path, TARGET, here)
    needs = elf.read(tmp_path / "one.so")
    assert needs is not None
    blas = next(name for name in needs.needed if "openblas" in name)
    (tmp_path / blas).write_bytes(b"not looked into")
    shutil.copy(a_library(), tmp_path / blas)  # any library of that name: it is ours then
    found = wheels.system_needs(tmp_path, TARGET, here)
    assert found["libc6"].startswith("2.")
    with pytest.raises(RuntimeError, match=r"one\.so needs GLIBC_2\."):
        wheels.system_needs(tmp_path, Target("3.11", 5, "ancient"), here)


# ---- scripts and documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["noctule.sh", *control.SCRIPTS])
def test_the_scripts_are_shell_and_stop_at_mistakes(name: str) -> None:
    subprocess.run(["sh", "-n", str(DEB / name)], check=True)
    text = (DEB / name).read_text()
    assert text.startswith("#!/bin/sh\n")
    assert name == "noctule.sh" or "\nset -e\n" in text


def test_the_launcher_prefers_the_systems_python_and_says_what_is_missing(tmp_path: Path) -> None:
    """The launcher with every path moved below a folder; the Pythons are shell scripts that say who they are."""
    script = (DEB / "noctule.sh").read_text().replace("/usr/", f"{tmp_path}/usr/")
    launcher = tmp_path / "noctule"
    launcher.write_text(script)
    launcher.chmod(0o755)
    bin_, home = tmp_path / "usr/bin", tmp_path / "usr/lib/noctule"
    bin_.mkdir(parents=True)

    def python(version: str, carried: bool) -> None:
        (bin_ / f"python{version}").write_text(f"#!/bin/sh\necho {version} $*\n")
        (bin_ / f"python{version}").chmod(0o755)
        if carried:
            (home / f"python{version}/bin").mkdir(parents=True)
            (home / f"python{version}/bin/python").symlink_to(bin_ / f"python{version}")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(launcher), "status", "two words"], capture_output=True, text=True, check=False)

    python("3.11", True)
    python("3.13", True)
    (bin_ / "python3").symlink_to("python3.13")
    assert run().stdout == "3.13 -I -m noctule status two words\n"
    (bin_ / "python3").unlink()
    python("3.14", False)
    (bin_ / "python3").symlink_to("python3.14")
    assert run().stdout == "3.11 -I -m noctule status two words\n"
    for version in ("3.11", "3.13"):
        (bin_ / f"python{version}").unlink()
    done = run()
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "noctule: this package has libraries for python3.11 python3.13, and none of these is installed.",
        "hint: install one of them, or the noctule package made for python3.14",
    ]


def test_the_manual_page_has_every_verb_and_reads_without_warnings() -> None:
    page = manpage.page("1.2.3", "2026-11-22")
    for verb in VERBS:
        assert f".SS noctule {verb}" in page
    for line in page.splitlines():
        assert not re.match(r"\.[^A-Z]", line), line
    if shutil.which("man"):
        done = subprocess.run(
            ["man", "-l", "--warnings", "-"], input=page, capture_output=True, text=True, check=False
        )
        assert not done.stderr, done.stderr
        assert "noctule tail [--json]" in done.stdout
