"""Every wake-word package in models/: verified, awake at its phrase, asleep at other speech, cheap, and portable."""

from __future__ import annotations

import importlib.util
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wakeword_models import noise

from noctule.wake.detector import Detection, Detector
from noctule.wake.package import load_package

ROOT = Path(__file__).resolve().parents[3]
SOUNDS = ROOT / "tests" / "fixtures" / "wake"
PACKAGES = sorted(
    path.parent
    for path in (ROOT / "models").glob("*/manifest.json")
    if json.loads(path.read_text(encoding="utf-8")).get("type") == "micro"
)
POSITIVES = [(package, sound) for package in PACKAGES for sound in sorted(SOUNDS.glob(f"{package.name}_*.wav"))]


def sound_of(path: Path) -> NDArray[np.int16]:
    """A WAV between 2.4 s and 1 s of a quiet room."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        spoken = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.concatenate([noise(2.4, 4.0), spoken, noise(1.0, 4.0, 1)])


def hear(package: Path, sound: NDArray[np.int16]) -> list[Detection]:
    detector = Detector([load_package(package)])
    try:
        return detector.push(sound)
    finally:
        detector.close()


def test_there_is_a_default_wake_word() -> None:
    assert "hey_noctule" in [package.name for package in PACKAGES]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_complete(package: Path) -> None:
    loaded = load_package(package)
    told = json.loads((package / "report.json").read_text(encoding="utf-8"))
    assert told["model"]["sha256"] == loaded.extra["files"][loaded.model.name]["sha256"]
    assert told["calibration"]["threshold"] == loaded.threshold
    assert told["calibration"]["hours"] >= 5
    assert loaded.extra["build"].startswith("scripts/build_wake_word.py ")
    assert loaded.model.stat().st_size <= 100_000
    assert (package / "LICENSE").is_file()
    assert (package / "report.html").is_file()


@pytest.mark.parametrize(("package", "sound"), POSITIVES, ids=lambda path: path.stem)
def test_the_phrase_is_heard_once(package: Path, sound: Path) -> None:
    samples = sound_of(sound)
    heard = hear(package, samples)
    assert [item.word for item in heard] == [package.name]
    assert 2.4 < heard[0].time < len(samples) / 16_000


@pytest.mark.parametrize("sound", sorted(SOUNDS.glob("other_*.wav")), ids=lambda path: path.stem)
@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_other_speech_is_not(package: Path, sound: Path) -> None:
    assert hear(package, sound_of(sound)) == []


def test_a_near_phrase_is_not() -> None:
    assert hear(ROOT / "models" / "hey_noctule", sound_of(SOUNDS / "near_doctor_slt.wav")) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_silence_and_noise_wake_nothing(package: Path) -> None:
    for sound in (np.zeros(64_000, np.int16), noise(4.0, 300), noise(4.0, 9000)):
        assert hear(package, sound) == []


@pytest.mark.parametrize(("package", "sound"), POSITIVES[:1], ids=lambda path: path.stem)
def test_it_runs_unchanged_in_pymicro_wakeword(package: Path, sound: Path) -> None:
    if importlib.util.find_spec("pymicro_wakeword") is None:
        pytest.skip("pymicro-wakeword is not installed")
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures

    theirs, front = MicroWakeWord.from_config(package / "manifest.json"), MicroWakeWordFeatures()
    scores = [theirs.process_streaming_prob(item) for item in front.process_streaming(sound_of(sound).tobytes())]
    assert max(score or 0.0 for score in scores[210:]) > theirs.probability_cutoff
    traced: list[float] = []
    Detector([load_package(package)], trace=lambda _word, _time, mean: traced.append(mean)).push(sound_of(sound))
    # Its TFLite is another version whose kernels round a unit in the last place otherwise: some steps of 1/1280.
    assert traced == pytest.approx(scores[2::3][: len(traced)], abs=0.01)
