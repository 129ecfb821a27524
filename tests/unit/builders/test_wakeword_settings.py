"""What a build refuses in its first seconds, and which voice may do what."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from wakeword_models import noise

pytest.importorskip("scipy")

import build_wake_word
from builders.sound.engines import Voices
from builders.wake import settings as wake_settings
from builders.wake.settings import RESERVED, Amounts, Settings, plan_voices
from noctule.core.errors import InputError, NoctuleError, UnavailableError

ESPEAK = ("gmw/en-US", "gmw/en-US+f2", "gmw/en-US+klatt2")
FLITE = ("awb", "rms", "slt", "kal")
FESTIVAL = ("cmu_us_slt_arctic_hts", "kal_diphone", "ked_diphone")


@pytest.fixture(autouse=True)
def _no_foreign_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_settings.espeak, "accents", lambda language: (f"x/{language}",))


@pytest.mark.parametrize("flite", [FLITE, ("awb", "rms"), ()])
@pytest.mark.parametrize("festival", [FESTIVAL, ("ked_diphone",), ()])
def test_reserved_voices_neither_train_nor_calibrate(flite: tuple[str, ...], festival: tuple[str, ...]) -> None:
    plan = plan_voices(Voices(ESPEAK, flite, festival), "en", ())
    used = {*plan.train_espeak, *plan.train_others, *plan.calibrate}
    assert not used & RESERVED
    assert plan.calibrate
    assert not set(plan.calibrate) & {*plan.train_espeak, *plan.train_others}


def test_calibration_takes_a_whole_engine_when_there_is_one() -> None:
    plan = plan_voices(Voices(ESPEAK, FLITE, FESTIVAL), "en", ())
    assert plan.calibrate == ("festival:kal_diphone",)
    assert plan.train_others == ("flite:awb", "flite:rms")
    assert plan.calibration_note == ""
    assert all("x/en" not in voice for voice in plan.train_foreign)


def test_what_may_only_calibrate_never_trains() -> None:
    plan = plan_voices(Voices(ESPEAK, FLITE, FESTIVAL, ("bdl",), ("en-US",), ("us1",)), "en", ())
    only = {"pico:en-US", "mbrola:us1"}
    assert only <= set(plan.calibrate)
    assert not only & {*plan.train_espeak, *plan.train_foreign, *plan.train_others}


def test_calibration_says_when_it_is_optimistic() -> None:
    plan = plan_voices(Voices(ESPEAK), "en", ())
    assert plan.calibrate == ("espeak:gmw/en-US+f2", "espeak:gmw/en-US+klatt2")
    assert plan.train_espeak == ("espeak:gmw/en-US",)
    assert "optimistic" in plan.calibration_note
    assert "flite:rms" in plan_voices(Voices(ESPEAK, ("awb", "rms")), "en", ()).calibration_note


def test_a_reserved_voice_trains_only_when_named() -> None:
    plan = plan_voices(Voices(ESPEAK, FLITE, FESTIVAL), "en", ("flite:slt",))
    assert "flite:slt" in plan.train_others
    with pytest.raises(InputError, match="there is no such voice"):
        plan_voices(Voices(ESPEAK, FLITE), "en", ("flite:nobody",))


def test_missing_packages_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name in ("torch", "flatbuffers") else real(name, *rest)

    monkeypatch.setattr(wake_settings.importlib.util, "find_spec", without)
    monkeypatch.setattr(wake_settings.shutil, "which", lambda _name: None)
    voice = tmp_path / "v.onnx"
    with pytest.raises(UnavailableError) as error:
        wake_settings.check_tools(Settings("hey noctule", tmp_path, tmp_path, piper=(voice,)))
    for package in ("apt install espeak-ng", "pip install torch", "pip install flatbuffers", "pip install piper-tts"):
        assert package in str(error.value)


def test_a_missing_tool_ends_the_command_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wake_settings.shutil, "which", lambda _name: None)
    assert build_wake_word.main(["hey noctule", "--out", str(tmp_path / "x"), "--work", str(tmp_path)]) == 69
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "espeak-ng" in told[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["..."], ["hey you", "--jobs", "0"], ["hey you", "--target-fa", "0"], ["hey you", "--effort", "99"]],
)
def test_nonsense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InputError):
        build_wake_word.parse(arguments)


def test_the_recorded_command_has_no_local_paths(tmp_path: Path) -> None:
    arguments = ["hey  noctule", "--work", str(tmp_path), "--out", str(tmp_path / "o"), "--jobs", "7", "--seed", "3",
                 "--recordings", str(tmp_path / "mine"), "--effort", "0.75"]  # fmt: skip
    told = build_wake_word.command(build_wake_word.parse(arguments))
    assert told == ["scripts/build_wake_word.py", "hey noctule", "--seed", "3", "--recordings", "mine",
                    "--effort", "0.75"]  # fmt: skip
    assert build_wake_word.command(build_wake_word.parse(["hey noctule", "--quick"]))[-1] == "--quick"


def test_the_key_follows_inputs_but_not_places(tmp_path: Path) -> None:
    from builders.sound.wavs import write_wav

    voices, tools = Voices(ESPEAK), {"numpy": "2"}
    base = Settings("hey noctule", tmp_path / "a", tmp_path)
    assert base.key(tools, voices) == Settings("hey noctule", tmp_path / "b", tmp_path, jobs=9).key(tools, voices)
    folder = tmp_path / "mine"
    folder.mkdir()
    write_wav(folder / "1.wav", noise(0.5))
    with_own = Settings("hey noctule", tmp_path, tmp_path, recordings=folder)
    before = with_own.key(tools, voices)
    write_wav(folder / "2.wav", noise(0.5))
    keys = {base.key(tools, voices), before, with_own.key(tools, voices), base.key({"numpy": "3"}, voices),
            Settings("hey noctule", tmp_path, tmp_path, seed=2).key(tools, voices)}  # fmt: skip
    assert len(keys) == 5
    other = Settings("okay nabu", tmp_path, tmp_path, amounts=Amounts().scaled(0.5))
    assert other.key(tools, voices, common=True) == base.key(tools, voices, common=True)


def test_folders_without_wavs_are_refused(tmp_path: Path) -> None:
    if not wake_settings.espeak.library():
        pytest.skip("espeak-ng is not installed")
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("scipy") is None:
        pytest.skip("the host tools are not installed")
    with pytest.raises(NoctuleError, match="there is no"):
        wake_settings.check_tools(Settings("hey noctule", tmp_path, tmp_path, negatives=tmp_path))
