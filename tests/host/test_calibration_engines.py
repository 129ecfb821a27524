"""Engines that only calibrate: SVOX Pico and MBROLA say what they are given, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from builders.sound.engines import make_engine, mbrola, pico, spelled

FOUND = [*((("pico", voice)) for voice in pico.voices()), *(("mbrola", voice) for voice in mbrola.voices())]


@pytest.mark.host
@pytest.mark.skipif(not FOUND, reason="needs libttspico-utils, or mbrola with mbrola-us1")
@pytest.mark.parametrize(("engine", "voice"), FOUND)
def test_it_says_more_for_more_text_and_the_same_for_the_same_seed(engine: str, voice: str) -> None:
    def say(text: str, seed: int) -> np.ndarray:
        made = make_engine(engine)
        sound = made.say(voice, spelled(text), np.random.default_rng(seed))
        getattr(made, "close", lambda: None)()
        assert sound is not None
        return sound

    short = say("okay nabu", 1)
    assert short.dtype == np.float32
    assert 0.4 * 16_000 < len(short) < 2.5 * 16_000
    assert 0.05 < np.abs(short).max() <= 1
    assert np.array_equal(short, say("okay nabu", 1))
    assert len(say("okay nabu, turn on the lights in the kitchen", 1)) > 2 * len(short)
    assert any(len(say("okay nabu", seed)) != len(short) for seed in (2, 3, 4)), "the pace varies"


def test_a_voice_of_mbrola_needs_the_program_and_the_voice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "us1").mkdir()
    monkeypatch.setattr(mbrola, "_DATA", tmp_path)
    monkeypatch.setattr(mbrola.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert mbrola.voices() == ["us1"]
    monkeypatch.setattr(mbrola.shutil, "which", lambda name: None if name == "mbrola" else name)
    assert mbrola.voices() == []
