"""What is spoken in training: words only, and never a held-out line."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("scipy")  # a host tool

from builders.speech.clips import Clip, Span, scaled
from builders.speech.pool import kind_of, wanted_call
from builders.speech.scoring import edits, sentence_error, word_error
from builders.speech.sentences import LONGEST, Sentence, Sentences, held_out_lines, number, spoken, vocabulary
from builders.text.split import action_sources


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("Set a timer for 5min", "set a timer for five minutes"),
        ("1 hr 20 secs", "one hour twenty seconds"),
        ("21 min", "twenty one minutes"),
        ("volume 35%", "volume thirty five percent"),
        ("2.5 hours", "two point five hours"),
        ("at 7:30", "at seven thirty"),
        ("i'm at 7:00, ok?", "i'm at seven o'clock ok"),
        ("ninety-five", "ninety five"),
        ("i m here", "i m here"),
    ],
)
def test_written_as_it_is_said(typed: str, said: str) -> None:
    assert spoken(typed) == said


def test_too_large_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1000"):
        spoken("1000 minutes")
    assert number(0) == "zero"
    assert number(100).endswith("hundred")


def test_sentences_are_seeded_and_spoken() -> None:
    first, second = (Sentences("train", 5).stream() for _ in range(2))
    drawn = [next(first) for _ in range(400)]
    assert drawn == [next(second) for _ in range(400)]
    kinds = {s.kind for s in drawn}
    assert kinds == {"action", "outside", "words"}
    for sentence in drawn:
        words = sentence.text.split()
        assert 1 <= len(words) <= LONGEST
        assert set(sentence.text) <= set("abcdefghijklmnopqrstuvwxyz' ")
        for name, value in sentence.arguments:
            if name == "duration":
                assert value in sentence.text


def test_every_action_can_be_asked_for() -> None:
    stream = Sentences("train", 1).stream(action=1.0, words=0.0)
    found = {next(stream).action for _ in range(3000)}
    assert found == {source.action for source in action_sources()["train"]}


def test_held_out_templates_are_not_spoken() -> None:
    fixed = {
        spoken(s.template.line)
        for part in ("test", "validation")
        for s in action_sources()[part]
        if not set("[{") & set(s.template.line)
    }
    stream = Sentences("train", 2).stream(action=1.0, words=0.0)
    said = {next(stream).text for _ in range(5000)}
    assert len(fixed) > 20
    assert not fixed & said


def test_vocabulary_has_numbers_and_units() -> None:
    assert {"ninety", "minutes", "percent", "timer", "screenshot"} <= vocabulary()


def test_a_clip_remembers_its_call() -> None:
    sentence = Sentence("set five minutes", "action", "timer.set", (("duration", "five minutes"), ("name", "tea")))
    assert wanted_call(kind_of(sentence)) == ("timer.set", {"duration": "five minutes", "name": "tea"})
    assert wanted_call(kind_of(Sentence("what rain", "outside"))) == ("none", {})
    assert wanted_call("words") == ("none", {})


def test_times_scale() -> None:
    span = scaled([Span("a", 1.0, 2.0)], 0.5, 0.25)[0]
    assert (span.start, span.end) == (0.75, 1.25)
    assert Clip(np.zeros(8000, np.float32), "", "").seconds == 0.5


def test_errors_are_counted() -> None:
    assert edits(["a", "b", "c"], ["a", "c"]) == 1
    assert edits([], ["x"]) == 1
    assert word_error(["a b", "c d"], ["a x", "c d e"]) == 0.5
    assert sentence_error(["a b", "c d"], ["a b", "c"]) == 0.5


def test_mixed_sentences_are_words_out_of_order() -> None:
    stream = Sentences("train", 9).stream(mixed=True)
    drawn = [next(stream) for _ in range(1500)]
    assert {s.kind for s in drawn} == {"words", "action"}
    assert sum(s.kind == "words" for s in drawn) > 1000
    usual = Sentences("train", 9).stream()
    known = {pair for s in (next(usual) for _ in range(1500)) for pair in pairs(s.text)}
    found = {pair for s in drawn if s.kind == "words" for pair in pairs(s.text)}
    assert len(found - known) > 2 * len(found & known)  # what stands side by side is mostly new
    assert not {s.text for s in drawn} & held_out_lines()


def pairs(text: str) -> list[tuple[str, str]]:
    words = text.split()
    return list(pairwise(words))
