"""Asking back, and how much silence ends a command: the parts that need no recogniser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from moonshine_world import shared, speech

from noctule.assistant.actions.declared import SPECS
from noctule.assistant.grammar.files import english
from noctule.assistant.grammar.grammar import Grammar
from noctule.audio.endpointing import ENDED, SPEAKING, Endpointer
from noctule.cli import run_command
from noctule.voice.questions import answer_to, question
from noctule.voice.stt.guided import GuidedReader
from noctule.voice.stt.moonshine import MoonshineRecogniser

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Yes.", True), ("Yes, please!", True), ("That's right.", True), ("okay", True),
        ("No.", False), ("never mind", False), ("No, thank you.", False),
        ("Set a timer for five minutes.", None), ("no ten minutes", None), ("", None),
    ],
)  # fmt: skip
def test_what_answers_a_question(said: str, answer: bool | None) -> None:
    assert answer_to(said) is answer


def test_a_request_is_asked_back_as_it_was_understood() -> None:
    assert question("set a timer for fifty minutes.") == "Set a timer for fifty minutes?"


def noise(seconds: float, level: float) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(int(seconds * 16000)) * level * 32767).astype(np.int16)


@pytest.mark.parametrize(
    ("silence", "quiet", "state"), [(0.3, 0.4, ENDED), (None, 0.4, SPEAKING), (1.5, 1.0, SPEAKING)]
)
def test_the_silence_that_ends_a_command_can_be_set_while_it_is_spoken(
    silence: float | None, quiet: float, state: str
) -> None:
    endpointer = Endpointer()
    endpointer.observe(noise(1, 0.0005))
    endpointer.begin()
    assert endpointer.feed(noise(0.5, 0.2)) == SPEAKING
    endpointer.silence = silence
    assert endpointer.feed(noise(quiet, 0.0005)) == state
    endpointer.begin()
    assert endpointer.silence is None, "the next command has its own"


@pytest.mark.parametrize(
    ("said", "silence"), [("what time is it", 0.3), ("set a timer for", 1.5), ("set a timer for five minutes", None)]
)
def test_a_pause_is_read_at_once_and_says_how_long_to_wait(said: str, silence: float | None) -> None:
    grammar = Grammar(english(), SPECS)
    recogniser = MoonshineRecogniser(shared(), GuidedReader(lambda: grammar), share=lambda: 10.0, clock=lambda: 0.0)
    try:
        listening = recogniser.begin()
        sound = np.concatenate([noise(0.5, 0.0005), (speech(said) * 32767).astype(np.int16), noise(0.6, 0.0005)])
        for at in range(0, len(sound), 1600):
            listening.feed(sound[at : at + 1600])
        assert listening.silence == silence
        words = [word.text for word in listening.finish(0.5)]
        assert " ".join(words).lower().strip(".?, ").startswith(said.split()[0])
    finally:
        recogniser.close()


def test_heard_shows_the_race(capsys: pytest.CaptureFixture[str]) -> None:
    models = f'service.models=["{ROOT / "models"}"]'
    recording = ROOT / "config" / "demo" / "timer.wav"
    assert run_command(["heard", str(recording), "--lead", "1.6", "--set", models]) == 0
    shown = capsys.readouterr().out
    assert "free text" in shown
    assert 'timer.set duration="two minutes"' in shown
    assert "decision   act" in shown
