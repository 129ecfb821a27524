"""scripts/build_speech_model.py, quickly: it refuses plainly, and the same weights give the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # A user has none; with ours a process that the builder starts would find modules that it must be told of.
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_speech_model.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=environment,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_without_an_engine_it_says_so_at_once(tmp_path: Path) -> None:
    done = run("--quick", "--work", str(tmp_path / "work"), path=str(tmp_path))
    assert done.returncode != 0
    assert "espeak-ng is not installed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_build_and_export_twice(tmp_path: Path) -> None:
    from builders.speech.hearing.unpack import encoder_weights
    from builders.speech.voice.decoder import Decoder, DecoderShape

    work, models = tmp_path / "work", tmp_path / "models"
    common = ("--quick", "--work", str(work), "--models", str(models))
    done = run(*common, "--stage", "hearing")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (work / "encoder_frozen.pt").exists()
    refused = run(*common, "--stage", "export")
    assert refused.returncode != 0
    assert "scripts/build_voice.py" in refused.stderr
    torch.manual_seed(1)
    shape = DecoderShape()
    torch.save({"decoder": Decoder(shape).state_dict(), "shape": dict(shape.__dict__)}, work / "decoder.pt")
    again = run(*common)  # the training is not made again
    assert again.returncode == 0, again.stderr[-2000:]
    first = digests(models)
    assert {name.split("/")[0] for name in first} == {"noctule-stt", "noctule-speech-codec"}
    assert sum(path.stat().st_size for path in models.rglob("*.tflite")) < 12e6
    assert run(*common, "--stage", "export").returncode == 0
    assert digests(models) == first
    trained = torch.load(work / "encoder_frozen.pt")["encoder"]
    found = encoder_weights(models / "noctule-speech-codec")
    assert found.keys() == trained.keys()
    assert all((found[n] - v).abs().max() <= 0.01 * v.abs().max() for n, v in trained.items())
    missing = run("--quick", "--work", str(tmp_path / "nothing"), "--from", str(work), "--stage", "hearing")
    assert missing.returncode != 0
    assert "is no package" in missing.stderr
    other = tmp_path / "other"
    other.mkdir()
    (work / "pool").rename(other / "pool")
    on = run("--quick", "--work", str(other), "--from", str(models), "--stage", "hearing")
    assert on.returncode == 0, on.stderr[-2000:]
    assert "going on from the packages" in on.stdout
