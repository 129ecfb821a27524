"""The acceptance test's near-miss phrases are said by no build, and flite says phonemes as they are meant."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("scipy")

from builders.sound.engines import Word
from builders.sound.engines.flite import arpabet
from builders.wake import confusables, speech
from builders.wake.near_misses import NEAR_MISSES, held_out


def test_a_near_miss_of_the_acceptance_test_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([(Word("Okay"), Word("Bamboo")), (Word("okay"), Word("table"))])
    monkeypatch.setattr(confusables, "random_confusable", lambda *_: next(drawn))
    spec = speech.SpeechSpec("C", ("flite:rms",), 1, 1, ("okay nabu",), (("n",),), (), "train")
    assert [word.text for word in speech._choose(spec, "flite", 0, random.Random(0))] == ["okay", "table"]


def test_every_phrase_that_is_benchmarked_is_held_out() -> None:
    assert held_out() == {text for texts in NEAR_MISSES.values() for text in texts}
    assert "okay bamboo" in held_out()


@pytest.mark.parametrize(
    ("phones", "said"),
    [
        (("oU", "k", "'eI"), "ow0 k ey1"),
        (("n", "'A:", "b", "u:"), "n aa1 b uw0"),
        (("n", "@", "b"), "n ah1 b"),
        (("b", "A@", "'@", "tS"), "b aa0 r ah1 ch"),
    ],
)
def test_flite_phones(phones: tuple[str, ...], said: str) -> None:
    told = arpabet(phones)
    assert told is not None
    assert " ".join(told) == said


@pytest.mark.parametrize("phones", [(), ("n", "b"), ("n", "y:")])
def test_what_flite_has_no_phones_for_is_left_to_the_spelling(phones: tuple[str, ...]) -> None:
    assert arpabet(phones) is None


READ = (("oU", "k", "'eI"), ("n", "@", "b", "'u:"))
PHRASE = (("oU", "k", "'eI"), ("n", "'A:", "b", "u:"))


@pytest.mark.parametrize("engine", ["espeak", "flite", "rhvoice"])
def test_engines_that_say_phonemes_read_the_phrase_in_every_way(engine: str) -> None:
    spec = speech.SpeechSpec("P", (), 1, 1, ("okay nabu",), PHRASE, (), "train", readings=(READ,))
    said = [speech._choose(spec, engine, 0, random.Random(seed)) for seed in range(200)]
    otherwise = [words for words in said if words == (Word("okay"), Word("nabu", READ[1]))]
    assert len(otherwise) == 0 if engine == "rhvoice" else 40 < len(otherwise) < 80
