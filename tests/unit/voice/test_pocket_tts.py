"""Answers spoken by a pocket-tts package: the synthesizer, and the engines that choose it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from noctule.audio.wavefile import WavReader
from noctule.cli import run_command
from noctule.config import Config
from noctule.config.speech import Speech
from noctule.core.errors import InputError
from noctule.core.events import Bus, Event
from noctule.voice.engines import SpeechEngines, examine
from noctule.voice.tts.pocket import PocketSynthesizer, open_pocket
from pocket_checkpoints import package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package("lsd", tmp_path_factory.mktemp("pocket") / "lsd")


def spoken(synthesizer: PocketSynthesizer, pieces: list[str]) -> np.ndarray:
    synthesis = synthesizer.begin()
    frames = []
    for piece in pieces:
        synthesis.more(piece)
        while (frame := synthesis.step()) is not None:
            frames.append(frame)
    synthesis.close()
    while not synthesis.done:
        if (frame := synthesis.step()) is not None:
            frames.append(frame)
    return np.concatenate(frames) if frames else np.zeros(0, np.float32)


def test_a_sentence_is_spoken_as_soon_as_it_is_whole(folder: Path) -> None:
    synthesizer = open_pocket(folder, Speech(seed=5))
    synthesis = synthesizer.begin()
    assert synthesizer.name == "random"
    assert synthesis.rate == 600
    assert synthesizer.verdict.keeps_up
    synthesis.more("It is one")
    assert synthesis.step() is None
    assert not synthesis.done
    synthesis.more(" o'clock. And")
    first = synthesis.step()
    assert first is not None
    assert first.shape == (48,)
    synthesis.cancel()
    assert np.array_equal(spoken(synthesizer, ["It is one o'clock. And"])[:48], first)
    assert spoken(synthesizer, ["  ", "\n"]).size == 0
    synthesizer.close()


def test_a_voice_that_is_not_there_is_told_and_the_model_closed(folder: Path) -> None:
    with pytest.raises(InputError, match="has no voice 'nobody'"):
        open_pocket(folder, Speech(voice="nobody"))


def test_the_engines_open_it_where_speech_tts_names_it(folder: Path, tmp_path: Path) -> None:
    config, bus = Config(), Bus()
    config.lm.weight_cache = False
    config.service.models = [tmp_path / "models"]
    shutil.copytree(folder, tmp_path / "models" / "pocket")
    config.speech.tts = "pocket"
    events: list[Event] = []
    bus.add_sink(events.append)
    engines = SpeechEngines(lambda: config, bus)
    synthesizer = engines.synthesizer()
    assert isinstance(synthesizer, PocketSynthesizer)
    assert spoken(synthesizer, ["Hello."]).size > 0
    synthesizer.close()
    assert any("Loaded random: the speech model takes" in event.message for event in events)
    assert examine(config, "tts") == "random 1: every file has its size and sha256"
    (tmp_path / "models" / "pocket" / "model.tflite").write_bytes(b"")
    assert engines.synthesizer() is None
    assert "is empty" in engines.troubles["tts"]


def test_say_writes_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "noctule.toml"
    config.write_text('[service]\nstate_dir = "/nonexistent"\n')
    monkeypatch.setenv("NOCTULE_CONFIG", str(config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out.wav"
    assert run_command(["say", "hi there", "--model", str(folder), "-o", str(out)]) == 0
    with WavReader(out) as wav:
        assert wav.format.sample_rate == 600
        assert np.abs(np.concatenate(list(wav.blocks()))).max() > 0
    capsys.readouterr()
    assert run_command(["say", "hi", "--model", str(folder), "--voice", "nobody", "-o", str(out)]) == 65
    assert "has no voice 'nobody'" in capsys.readouterr().err
