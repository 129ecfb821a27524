"""Timed words out of text tokens, and scripts into tokens."""

from __future__ import annotations

import pytest

from noctule.core.errors import InputError
from noctule.lm.speech.words import Word, WordAssembler, confidence_of, script_entries

PAD, MARK = 3, 0
PIECES = {10: "▁turn", 11: "▁the", 12: "▁lam", 13: "p", 14: "▁on", 20: "</s>"}


def assembler(**kind: float) -> WordAssembler:
    return WordAssembler(
        lambda ids: "".join(PIECES[i] for i in ids).replace("▁", " "),
        lambda i: PIECES[i].startswith("▁"),
        padding=PAD,
        end_of_padding=MARK,
        silent=frozenset({20}),
        **kind,
    )


def run(tokens: list[int], words: WordAssembler) -> list[Word]:
    out = [words.feed(token, frames) for frames, token in enumerate(tokens, 1)]
    return [w for w in [*out, words.finish()] if w]


def test_words_begin_at_their_mark_and_end_when_written():
    got = run([PAD, PAD, MARK, 12, 13, PAD, PAD, MARK, 14, PAD], assembler())
    assert got == [Word("lamp", 3 / 12.5, 6 / 12.5), Word("on", 8 / 12.5, 10 / 12.5)]


def test_the_models_delay_is_taken_off_and_never_below_zero():
    got = run([PAD, PAD, MARK, 12, 13, PAD], assembler(delay=0.24, frame_rate=12.5))
    assert [(round(w.start, 6), round(w.end, 6)) for w in got] == [(0.0, 0.24)]
    assert run([MARK, 12, PAD], assembler(delay=10.0))[0].start == 0.0


def test_words_without_padding_between_them_are_parted_by_their_pieces():
    got = run([MARK, 10, 11, 12, 13, MARK, 14], assembler())
    assert [w.text for w in got] == ["turn", "the", "lamp", "on"]
    assert [round(w.start * 12.5) for w in got] == [1, 3, 4, 6]


def test_silent_and_missing_tokens_say_nothing():
    assert run([MARK, 20, PAD, -1, MARK, PAD], assembler()) == []
    assert [w.text for w in run([MARK, 12, 20, 13, -1], assembler())] == ["lamp"]


def test_reset_drops_an_open_word():
    words = assembler()
    words.feed(MARK, 1)
    words.feed(12, 2)
    words.reset()
    assert words.finish() is None
    assert words.feed(13, 9) is None
    assert words.feed(PAD, 10) == Word("p", 9 / 12.5, 10 / 12.5)


def spell(word: str) -> list[int]:
    return [ord(c) for c in word]


def test_a_script_becomes_words_pauses_and_turns():
    got = script_entries(["Hi  (you): ", '<break time="0.4s"/>go'], spell, speaker_tokens=(1, 2))
    assert [e.text for e in got] == ["Hi", "you", "", "go"]
    assert got[0].tokens == (1, *spell("Hi"))
    assert got[1].tokens == tuple(spell("you"))
    assert (got[2].tokens, got[2].padding) == ((), 5)
    assert got[3].tokens[0] == 2


def test_padding_between_words_counts_their_pieces():
    assert [e.padding for e in script_entries(["ab c"], spell, padding_between=2)] == [3, 2]


@pytest.mark.parametrize("turns", [[], [""], ["  "], ['<break time="1s"/>'], ["()"]])
def test_nothing_to_say_is_refused(turns):
    with pytest.raises(InputError, match="nothing to say"):
        script_entries(turns, spell)


def test_endless_pauses_are_refused():
    with pytest.raises(InputError, match="longer than the longest"):
        script_entries(['a <break time="99999s"/> b'], spell)


def test_a_commands_confidence_is_the_geometric_mean_over_its_words():
    assert confidence_of([]) is None
    assert confidence_of([Word("a", 0, 1), Word("b", 1, 2)]) is None
    assert confidence_of([Word("a", 0, 1, 0.9), Word("b", 1, 2, 0.4), Word("c", 2, 3)]) == pytest.approx(0.6)
