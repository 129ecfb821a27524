"""When the brain refuses instead of acting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.assistant.actions.registry import Call, Value
from noctule.assistant.brain.doubt import Doubt, has_unfamiliar, read_doubt
from noctule.assistant.phrases.request import read
from noctule.core.errors import ModelError

WORDS = frozenset(["set", "a", "timer", "for", "the", "stop", "please", "volume", "to", "turn", "up"])


@pytest.mark.parametrize(
    ("text", "call", "strange"),
    [
        ("stop", Call("stop"), False),
        ("stop the war", Call("stop"), True),
        ("set a timer for ten minutes", Call("timer.set", {"duration": Value("ten minutes", 600)}), False),
        ("set a timer for ten minutes", Call("timer.set"), False),
        ("set a lasagna timer", Call("timer.set", {"name": Value("lasagna")}), False),
        ("set a lasagna timer", Call("timer.set"), True),
        ("set a Big-Pot timer", Call("timer.set", {"name": Value("Big-Pot")}), False),
        ("pleaes set a tmier", Call("timer.set"), False),
        ("sett a timr", Call("timer.set"), False),
        ("set a time", Call("timer.set"), False),
        ("xet a timer", Call("timer.set"), True),
        ("volume to 40 percent", Call("volume.set"), False),
    ],
)
def test_unfamiliar_words(text: str, call: Call, strange: bool) -> None:
    assert has_unfamiliar(read(text), call, WORDS) is strange


def test_without_a_list_every_word_is_familiar() -> None:
    assert not has_unfamiliar(read("gibberish"), Call("stop"), frozenset())


def test_two_thresholds() -> None:
    doubt = Doubt(0.5, 0.9, WORDS)
    assert doubt.refuses(Call("stop"), read("stop"), 0.49)
    assert not doubt.refuses(Call("stop"), read("stop"), 0.5)
    assert doubt.refuses(Call("stop"), read("stop the war"), 0.89)
    assert not doubt.refuses(Call("stop"), read("stop the war"), 0.9)
    assert not Doubt().refuses(Call("stop"), read("stop the war"), 0.0)


def test_words_of_another_action() -> None:
    doubt = Doubt(0.5, 1.0, WORDS, 0.8, {"stop": frozenset(["stop", "please"])})
    assert not doubt.refuses(Call("stop"), read("stop please"), 0.6)
    assert doubt.refuses(Call("stop"), read("stop the volume"), 0.79)
    assert not doubt.refuses(Call("stop"), read("stop the volume"), 0.8)
    assert doubt.refuses(Call("stop"), read("stop the war"), 0.99)
    assert not doubt.refuses(Call("help"), read("stop the volume"), 0.6), "of help it says nothing"


def test_the_manifests_section() -> None:
    assert read_doubt("m", {"threshold": 0.25}) == Doubt(0.25)
    section = {"threshold": 0, "unfamiliar": {"threshold": 1, "words": ["a", "b"]}}
    assert read_doubt("m", section) == Doubt(0.0, 1.0, frozenset("ab"))
    foreign = {"threshold": 0.5, "common": ["c"], "words": {"stop": ["a"], "help": []}}
    own = {"stop": frozenset("ac"), "help": frozenset("c")}
    assert read_doubt("m", {"threshold": 0, "foreign": foreign}) == Doubt(0.0, foreign=0.5, own=own)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ([], "x_actions: expected an object"),
        ({}, "threshold: expected a number, found nothing"),
        ({"threshold": "0.5"}, "expected a number, found '0.5'"),
        ({"threshold": 0.5, "unfamiliar": 3}, "unfamiliar: expected an object"),
        (
            {"threshold": 0.5, "unfamiliar": {"threshold": 2, "words": []}},
            "unfamiliar.threshold: expected a number from 0 to 1, found 2",
        ),
        ({"threshold": 0.5, "unfamiliar": {"threshold": 1, "words": "abc"}}, "words: expected a list"),
        ({"threshold": 0.5, "unfamiliar": {"threshold": 1, "words": [1]}}, r"words\[0\]: expected a string"),
        ({"threshold": 0.5, "foreign": []}, "foreign: expected an object"),
        (
            {"threshold": 0.5, "foreign": {"threshold": 7}},
            "foreign.threshold: expected a number from 0 to 1, found 7",
        ),
        ({"threshold": 0.5, "foreign": {"threshold": 1}}, "foreign.common: expected a list"),
        ({"threshold": 0.5, "foreign": {"threshold": 1, "common": [], "words": [1]}}, "words: expected an object"),
        (
            {"threshold": 0.5, "foreign": {"threshold": 1, "common": [], "words": {"stop": "a"}}},
            r"foreign.words.stop: expected a list",
        ),
    ],
)
def test_a_senseless_section_is_one_sentence(section: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_doubt("m", section)


@given(st.text(max_size=80))
def test_any_request_can_be_doubted(text: str) -> None:
    has_unfamiliar(read(text), Call("stop", {"name": Value(text)}), WORDS)
