"""scripts/build_lm.py: the same seed makes the same package; it resumes; the card comes from measurements."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_lm.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def digests(package: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(package.iterdir())}


def quick(work: Path, package: Path, seed: int = 7) -> str:
    return run("--quick", "--threads", "1", "--seed", str(seed), "--work", str(work), "-o", str(package))


def test_build_evaluate_and_build_again(tmp_path: Path) -> None:
    first, again = tmp_path / "one" / "noctule-tiny", tmp_path / "two" / "noctule-tiny"
    quick(tmp_path / "work1", first)
    manifest = json.loads((first / "manifest.json").read_text())
    assert manifest["kind"] == "text-lm"
    assert 0 <= manifest["x_actions"]["threshold"] <= 1
    built = digests(first)

    # Same seed, elsewhere: the same bytes, manifest included.
    quick(tmp_path / "work2", again)
    assert digests(again) == built

    # Interrupted after training: only what is missing is done, with the same result.
    (again / "model.tflite").unlink()
    said = quick(tmp_path / "work2", again)
    assert "training from" not in said
    assert digests(again) == built

    said = run("--evaluate", "--count", "40", "-o", str(first))
    assert "held-out phrasings: exact" in said
    card = (first / "MODEL_CARD.md").read_text()
    assert "exact match" in card
    assert "≤ 2 %" in card
    run("--evaluate", "--count", "40", "-o", str(first))
    assert (first / "MODEL_CARD.md").read_text() == card
