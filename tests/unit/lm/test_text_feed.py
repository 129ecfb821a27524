"""The text stream of text-to-speech: the law by hand, and texts that arrive while they are spoken."""

from __future__ import annotations

from noctule.lm.speech.text_feed import FeedRules, TextFeed
from noctule.lm.speech.words import Entry

WORD, PAD, ROWS = 0, 3, 100


def feed(entries: list[Entry], *, complete: bool = True, **rules: int) -> TextFeed:
    base = {"ahead": 0, "max_padding": 2, "initial_padding": 1, **rules}
    return TextFeed(FeedRules(WORD, PAD, ROWS, **base), entries, complete=complete)


def drive(f: TextFeed, predicted: list[int]) -> list[int]:
    return [f.next(step, token) for step, token in enumerate(predicted)]


def test_padding_is_forced_first_then_words_come_when_the_model_asks():
    f = feed([Entry((10, 11), "a"), Entry((12,), "b")])
    # asked at once: padding is forced; a word's pieces are read before anything else; padding runs out after two
    assert drive(f, [WORD, WORD, WORD, WORD, PAD, PAD, PAD, WORD]) == [PAD, WORD, 10, 11, WORD, 12, PAD, PAD]
    assert f.transcript == [("a", 1), ("b", 4)]
    assert f.end_step == 7


def test_a_pause_forces_padding():
    f = feed([Entry((10,), "a"), Entry((), "", 3), Entry((12,), "b")], initial_padding=0)
    assert drive(f, [WORD] * 8) == [WORD, 10, PAD, PAD, PAD, WORD, 12, PAD]


def test_other_predictions_count_as_padding():
    f = feed([Entry((10,), "a")], max_padding=4, initial_padding=3)
    assert drive(f, [55, 55, 55, 55]) == [PAD, PAD, PAD, WORD]


def test_the_second_stream_carries_the_mark_and_the_word_ahead():
    f = feed([Entry((10, 11), "a"), Entry((12, 13), "b")], ahead=1, initial_padding=0)
    got = drive(f, [WORD, PAD, PAD, WORD, PAD, WORD, WORD])
    split = [(t % ROWS, t // ROWS - 1) for t in got]
    assert split[0] == (10, WORD)
    assert split[1] == (11, 12)
    assert split[2] == (PAD, 13)
    assert split[3] == (12, WORD)
    assert split[4] == (13, -1)
    assert split[5] == (PAD, WORD)  # the end is marked once
    assert split[6] == (PAD, -1)


def test_a_text_that_is_not_complete_waits_for_its_next_words():
    f = feed([Entry((10,), "a")], complete=False, ahead=1, initial_padding=0)
    assert drive(f, [WORD] * 3) == [PAD] * 3  # the word ahead is not known yet
    f.more([Entry((11,), "b")])
    assert f.next(3, WORD) == (WORD + 1) * ROWS + 10
    assert f.next(4, WORD) % ROWS == PAD
    f.close()
    f.next(5, WORD)
    assert [w for w, _ in f.transcript] == ["a", "b"]
    assert f.end_step is None
    f.next(6, WORD)
    assert f.end_step == 6


def test_a_text_that_is_still_coming_leaves_the_feed_hungry():
    feed = TextFeed(FeedRules(new_word=1, padding=3, text_rows=10, initial_padding=0), complete=False)
    assert feed.hungry
    feed.more([Entry((7, 8), "lamp")])
    assert not feed.hungry
    assert [feed.next(0, 1), feed.next(1, 3), feed.next(2, 3)] == [1, 7, 8]
    assert feed.hungry
    feed.close()
    assert not feed.hungry
