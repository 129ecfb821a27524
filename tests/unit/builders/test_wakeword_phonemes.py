"""Phonemes, confusables and the corpus; espeak-ng is asked only where it is installed."""

from __future__ import annotations

import random
import shutil

import pytest

pytest.importorskip("scipy")

from builders.sound.engines.espeak import script
from builders.wake import confusables, corpus, phonemes

WORDS = [("h", "'eI"), ("n", "'0", "k", "tS", "@", "l")]
FLAT = [phone for word in WORDS for phone in word]
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def test_parse_keeps_words_and_stress() -> None:
    assert phonemes.parse("h 'eI  n '0 k tS @ l\n") == WORDS
    assert phonemes.parse("_: h 'eI _:") == [("h", "'eI")]


def test_distance_is_weighted() -> None:
    assert phonemes.distance(FLAT, FLAT) == 0
    assert phonemes.distance(("n", "'0"), ("m", "0")) == 0.5  # nasals are near, stress does not count
    assert phonemes.distance(("n",), ("s",)) == 1.0
    assert phonemes.distance(("n", "0"), ("n",)) == 0.75
    assert phonemes.distance((), ("n", "0")) == 1.5
    assert phonemes.distance(FLAT, ("s",)) == phonemes.distance(("s",), FLAT)


@pytest.mark.parametrize(
    ("phrase", "words", "told"),
    [
        ("go", [("g", "'oU")], "only 2 phonemes"),
        ("hey you", [("h", "'eI"), ("j", "u:")], "everyday words"),
        ("strength", [("s", "t", "r", "'E", "N", "T")], "only 1 syllables"),
        ("papa papa", [("p", "'A:", "p", "@")] * 2, "repeats few sounds"),
    ],
)
def test_poor_phrases_are_warned_about(phrase: str, words: list[tuple[str, ...]], told: str) -> None:
    assert any(told in text for text in phonemes.warnings(phrase, words))


def test_a_good_phrase_has_no_warning() -> None:
    assert phonemes.warnings("hey noctule", WORDS) == []


NABU = [("oU", "k", "'eI"), ("n", "'A:", "b", "u:")]
SWALLOWED = (NABU[0], ("n", "@", "b", "'u:"))


def test_a_made_up_word_may_be_stressed_elsewhere() -> None:
    assert phonemes.readings(NABU, ["okay", "nabu"], ()) == [tuple(NABU), SWALLOWED]


@pytest.mark.parametrize(
    ("words", "spelling", "ordinary"),
    [
        (NABU, ["okay", "nabu"], {"nabu"}),  # everybody reads it alike
        (NABU, ["okaynabu"], ()),  # which letters are which word is not known
        ([("n", "'0", "k", "tS", "@", "l")], ["noctule"], ()),  # nothing left to swallow
        ([("oU", "k", "'eI")], ["Okay"], ()),  # an everyday word
    ],
)
def test_one_reading_is_enough(words: list[tuple[str, ...]], spelling: list[str], ordinary: set[str]) -> None:
    assert phonemes.readings(words, spelling, ordinary) == [tuple(words)]


def test_an_h_may_be_missing() -> None:
    assert phonemes.readings(WORDS, ["hey", "noctule"], ()) == [tuple(WORDS), (("'eI",), WORDS[1])]


def test_the_gap_is_to_the_nearest_reading() -> None:
    said = ["oU", "k", "eI", "n", "@", "b", "u:"]
    assert phonemes.gap(said, [NABU]) == 1.0
    assert phonemes.gap(said, [NABU, SWALLOWED]) == 0
    assert phonemes.gap([*said, "t"], [NABU, SWALLOWED]) == 0.75


def test_a_reading_is_no_confusable() -> None:
    rng, met = random.Random(5), 0
    for _ in range(3000):
        said = confusables.random_confusable(NABU, ["table"], ["nab"], rng, (), [SWALLOWED])
        if len(said) == 2 and all(word.phones for word in said):
            phones = [phone for word in said for phone in word.phones]
            met += phonemes.distance(phones, [p for word in NABU for p in word]) <= 1
            assert phonemes.gap(phones, [SWALLOWED]) >= 0.75
    assert met > 100, "the nearest ones were not drawn"


def test_near_texts_leave_readings_out() -> None:
    known = {"nuboo": ("n", "@", "b", "'u:"), "nab": ("n", "'a", "b"), "okra": ("'oU", "k", "r", "@")}
    ways = [tuple(NABU), SWALLOWED]
    assert "okay nuboo" in confusables.near_texts("okay nabu", ways[:1], known, [])
    assert "okay nuboo" not in confusables.near_texts("okay nabu", ways, known, [])
    assert "okay nab" in confusables.near_texts("okay nabu", ways, known, [])


def test_confusables_are_never_the_phrase() -> None:
    rng = random.Random(3)
    for _ in range(400):
        said = confusables.random_confusable(WORDS, ["table", "window"], ["knock", "day"], rng)
        assert said
        phones = [phone for word in said for phone in word.phones]
        if all(word.phones for word in said):
            assert phones != FLAT
            assert all(word.text for word in said), "engines without phonemes need a spelling"


def test_edited_confusables_are_far_enough() -> None:
    rng = random.Random(5)
    for need in (1.0, 2.0, 3.0):
        edited = confusables._edit(WORDS, [WORDS], need, rng)
        assert phonemes.distance([p for word in edited for p in word], FLAT) >= need


def test_a_right_word_is_said_as_the_phrase_says_it() -> None:
    rng = random.Random(7)
    letters = 0
    for _ in range(400):
        for word in confusables.random_confusable(WORDS, ["table"], ["knock"], rng, ("hey", "noctule")):
            assert word.phones not in WORDS or word.text in ("hey", "noctule"), "a respelling may be read otherwise"
            letters += word.text == "noctule" and not word.phones
    assert letters > 20, "positives are said by their letters too"


@pytest.mark.parametrize("ending", [True, False])
def test_made_up_parts_share_a_beginning_or_an_end_with_the_phrase(ending: bool) -> None:
    rng = random.Random(11)
    for _ in range(200):
        said = confusables._with_other_part(WORDS, ("hey", "noctule"), [WORDS], ending, rng)
        (at,) = (index for index, word in enumerate(said) if word.phones and word.phones != WORDS[index])
        side = 0 if ending else -1
        assert said[at].phones[side] == WORDS[at][side]
        whole = [p for index, word in enumerate(said) for p in (word.phones or WORDS[index])]
        assert phonemes.distance(whole, FLAT) >= 0.75


def test_kin_words_begin_or_end_alike() -> None:
    known = {"knock": ("n", "'0", "k"), "nail": ("n", "'eI", "l"), "little": ("l", "'I", "t", "@", "l"),
             "day": ("d", "'eI"), "noctule": WORDS[1]}  # fmt: skip
    assert confusables.kin_words(WORDS[1:], known, 9) == ["knock", "little", "nail"]
    assert confusables.kin_words(WORDS[1:], known, 1) == ["knock"]


def test_near_texts_leave_out_what_the_acceptance_test_says() -> None:
    known = {"knock": ("n", "'0", "k"), "nail": ("n", "'eI", "l"), "here": ("h", "'i@"), "hay": ("h", "'eI")}
    texts = confusables.near_texts("hey noctule", [WORDS], known, ["hey knock", "day noctule"])
    assert texts[0] == "day noctule"
    assert "hey nail" in texts
    assert "here noctule" in texts
    assert "hey knock" not in texts
    assert confusables.near_texts("heynoctule", [WORDS], known, ["hay"]) == ["hay"]


def test_close_words_are_ranked_and_leave_out_the_word_itself() -> None:
    known = {"hay": ("h", "'eI"), "knock": ("n", "'0", "k"), "day": ("d", "'eI"), "umbrella": ("V", "m", "b", "r")}
    assert confusables.close_words(WORDS, known, 2) == ["knock", "day"]
    ranked = confusables.ranked("hey noctule", [WORDS], known, 10)
    assert ranked[0] == ("day noctule", 1.0)
    assert all(gap >= confusables.LEAST_DISTANCE for _, gap in ranked)


def test_espeak_script_mixes_spelling_and_phonemes() -> None:
    said = confusables.random_confusable([("h", "'eI")], ["table"], [], random.Random(0))
    assert script(said)
    from builders.sound.engines import Word

    assert script((Word("turn"), Word("", ("h", "'eI")))) == "turn [[h'eI]]"


def test_parts_of_the_corpus_do_not_share_manual_sentences() -> None:
    spoken = {
        part: {corpus.sentence(part, random.Random(seed)) for seed in range(1500)} & set(corpus.manual())
        for part in ("train", "calibrate", "accept")
    }
    assert all(spoken.values())
    assert not spoken["train"] & spoken["calibrate"]
    assert not spoken["train"] & spoken["accept"]
    assert not spoken["calibrate"] & spoken["accept"]


def test_everyday_sentences_fill_every_slot() -> None:
    rng = random.Random(1)
    assert not any("{" in corpus.everyday(rng) for _ in range(300))
    assert len(corpus.vocabulary()) > 1500


@needs_espeak
def test_espeak_pronounces_the_phrase_and_many_words() -> None:
    first, *_ = phonemes.pronounce("hey noctule", "en")
    assert [phonemes.bare(phone) for phone in first] == ["h", "eI"]
    known = phonemes.pronounce_many(["table", "window", "noon"], "en")
    assert phonemes.bare(known["table"][0]) == "t"
    assert set(known) == {"table", "window", "noon"}
