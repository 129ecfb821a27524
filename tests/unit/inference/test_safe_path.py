"""The Pythons that Noctule starts take no module from the folder a command was typed in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from noctule.capture.process.process import child_environment
from noctule.inference.probe import probe_runtime

TRAP = "raise SystemExit('the current folder was imported')\n"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "json", "signal"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("trap")
def test_the_runtimes_check() -> None:
    probe = probe_runtime()
    assert probe.ok, probe.sentence


@pytest.mark.usefixtures("trap")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")
def test_a_capture_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "noctule.capture.process.child"],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the current folder was imported" not in done.stderr
    assert "noctule" in done.stderr, "it did not come as far as its own mistake"
