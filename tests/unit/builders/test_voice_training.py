"""How recordings become the speaking model's frames, and how the judge counts. No torch, no synthesiser."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

pytest.importorskip("scipy")  # a host tool

from builders.speech.clips import RATE, Clip, Span
from builders.speech.shape import FRAME_RATE
from builders.speech.voice.data import LEAD, TAIL, end_frame, lay_out, line_of, rules, vary_pauses
from builders.speech.voice.flite import Spoken
from builders.speech.voice.judge import hits, unigrams, words_of
from builders.speech.voice.text import VoiceTexts, error_sentences, held_out
from noctule.lm.speech.text_normalisation import spoken

PIECES, PAD, NEW = 40, 3, 0
RULES = rules(PIECES, PAD, NEW)


def encode(word: str) -> list[int]:
    """Two letters a piece."""
    return [4 + ord(word[i]) - ord("a") for i in range(0, len(word), 2)]


def said(*words: tuple[str, float, float], pauses: tuple[float, ...] | None = None) -> Spoken:
    audio = np.full(round((words[-1][2] + 0.3) * RATE), 0.25, np.float32)
    return Spoken(audio, tuple(Span(*w) for w in words), pauses or (0.0,) * len(words))


def test_the_first_word_begins_in_the_frame_that_the_feed_gives_it() -> None:
    for seed in range(20):
        clip = lay_out(said(("ab", 0.31, 0.6), ("cd", 0.6, 0.95)), "ab cd", Random(seed))
        assert int(clip.words[0].start * FRAME_RATE) == LEAD
        # times moved together, and the sound with them
        assert clip.words[1].end - clip.words[0].start == pytest.approx(0.64)
        assert len(clip.audio) % 1280 == 0
        assert np.abs(clip.audio[round((clip.words[1].end + 0.13) * RATE) :]).max() == 0


def test_a_pause_is_as_long_as_the_text_asks() -> None:
    source = said(("ab", 0.3, 0.6), ("cd", 0.7, 1.0), pauses=(0.4, 0.0))
    clip = lay_out(source, 'ab <break time="0.4s"/> cd', Random(1))
    gap = clip.words[1].start - clip.words[0].end
    assert 0.4 <= gap <= 0.47
    middle = round((clip.words[0].end + gap / 2) * RATE)
    assert clip.audio[middle] == 0  # silence was put in, not sound stretched
    shorter = lay_out(said(("ab", 0.3, 0.6), ("cd", 1.2, 1.4), pauses=(0.1, 0.0)), "ab cd", Random(1))
    assert shorter.words[1].start - shorter.words[0].end == pytest.approx(0.6)  # nothing is cut out


def clip_of(text: str, *words: tuple[str, float, float]) -> Clip:
    return Clip(np.zeros(RATE, np.float32), text, "test", tuple(Span(*w) for w in words))


def unpacked(line: object) -> list[tuple[int, int]]:
    rows = PIECES + 1
    return [(int(t) % rows, int(t) // rows - 1) for t in line.text]  # type: ignore[attr-defined]


def test_what_the_model_reads_step_by_step() -> None:
    line = line_of(clip_of("abcd ef", ("abcd", 0.17, 0.5), ("ef", 0.5, 0.7)), encode, RULES)
    assert line is not None
    first, second = encode("abcd")
    (other,) = encode("ef")
    # two frames of padding; the mark stands in the second stream beside the first piece, then the word ahead
    assert unpacked(line)[:7] == [
        (PAD, -1), (PAD, -1), (first, NEW), (second, other), (PAD, -1), (PAD, -1), (other, NEW),
    ]  # fmt: skip
    assert np.flatnonzero(line.word).tolist() == [2, 6, end_frame(0.7)]
    # where padding is forced, or pieces remain, nobody asks the model
    assert not line.asked[[0, 1, 3]].any()
    assert line.asked[[2, 4, 5, 6, 7]].all()
    assert line.late == 0
    assert line.frames == end_frame(0.7) + TAIL + 2


def test_a_long_spelling_makes_the_text_late() -> None:
    text = clip_of("abcdefghij kl", ("abcdefghij", 0.17, 0.3), ("kl", 0.3, 0.6))
    line = line_of(text, encode, RULES)
    assert line is not None
    assert line.late == 7 - int(0.3 * FRAME_RATE)


def test_a_gap_longer_than_the_rules_allow_is_bounded() -> None:
    line = line_of(clip_of("ab cd", ("ab", 0.17, 0.4), ("cd", 2.0, 2.2)), encode, RULES)
    assert line is not None
    marks = np.flatnonzero(line.word)
    assert marks[1] - marks[0] == RULES.max_padding + 1


def test_words_that_are_not_the_recording_s_are_refused() -> None:
    assert line_of(clip_of("ab cd", ("ab", 0.17, 0.4)), encode, RULES) is None
    assert line_of(clip_of("ab", ("xx", 0.17, 0.4)), encode, RULES) is None


def test_pauses_vary_in_whole_frames() -> None:
    text = 'a <break time="0.16s"/> b'
    seen = {vary_pauses(text, Random(seed)) for seed in range(60)}
    assert text in seen
    assert len(seen) > 4
    assert all(0.08 <= float(one.split('"')[1][:-1]) <= 0.56 for one in seen)


def test_texts_are_spoken_forms_and_the_parts_share_none_that_vary() -> None:
    train, test = VoiceTexts("train", 1).stream(), VoiceTexts("test", 1).stream()
    some = [next(train) for _ in range(300)]
    assert all(spoken(text) == text for text in some)
    tests = [next(test) for _ in range(300)]
    assert all(held_out(text) for text in tests)
    assert len(set(tests)) > 200
    assert not set(tests) & set(some)
    again = VoiceTexts("train", 1).stream()
    assert [next(again) for _ in range(20)] == some[:20]


def test_errors_of_the_daemon_are_among_the_texts() -> None:
    assert ("No timer is running.",) in error_sentences()
    assert any(len(parts) > 1 for parts in error_sentences())


def test_the_judge_counts_words_in_order() -> None:
    wanted = ["set", "a", "timer", "for", "two", "minutes"]
    assert hits(wanted, wanted) == 6
    assert hits(wanted, ["a", "set", "timer", "two", "two", "minutes"]) == 4
    assert hits(wanted, []) == 0
    assert words_of('one <break time="0.16s"/> two') == ["one", "two"]


def test_every_word_is_as_likely_as_any_other() -> None:
    lines = unigrams(["one", "two", "three"]).splitlines()
    assert "ngram 1=5" in lines
    weights = {
        line.split()[1]: float(line.split()[0]) for line in lines if line and line[0] == "-" and "s>" not in line
    }
    assert weights.keys() == {"one", "two", "three"}
    assert len(set(weights.values())) == 1
    assert 10 ** weights["one"] == pytest.approx(0.25, rel=1e-3)
