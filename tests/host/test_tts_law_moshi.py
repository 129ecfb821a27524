"""The text feed and the script reader beside moshi's own state machine, on random texts and predictions."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("moshi")
pytestmark = pytest.mark.host

from moshi.models.tts import Entry as MoshiEntry  # noqa: E402
from moshi.models.tts import StateMachine, TokenIds, script_to_entries  # noqa: E402

from noctule.lm.speech.text_feed import FeedRules, TextFeed  # noqa: E402
from noctule.lm.speech.words import Entry, script_entries  # noqa: E402

CARD = 101


@pytest.mark.parametrize("ahead", [0, 1, 2])
@pytest.mark.parametrize("seed", range(40))
def test_the_feed_answers_as_moshi(seed: int, ahead: int) -> None:
    r = random.Random(seed)
    entries = [
        Entry(tuple(r.randrange(4, 100) for _ in range(r.choice([0, 1, 1, 2, 5]))), f"w{i}", r.choice([0, 0, 3]))
        for i in range(r.randrange(1, 12))
    ]
    most, first = r.randrange(0, 9), r.randrange(0, 4)
    machine = StateMachine(TokenIds(CARD), second_stream_ahead=ahead, max_padding=most, initial_padding=first)
    theirs = machine.new_state([MoshiEntry(list(e.tokens), e.text, e.padding) for e in entries])
    ours = TextFeed(FeedRules(0, 3, CARD, ahead, most, first), entries)
    for step in range(150):
        predicted = r.choice([0, 3, 3, 3, 42])
        assert ours.next(step, predicted) == machine.process(step, theirs, predicted)[0], step
        assert ours.end_step == theirs.end_step
    assert ours.transcript == theirs.transcript
    assert ours.end_step is not None


@pytest.mark.parametrize("speakers", [True, False])
@pytest.mark.parametrize("between", [0, 1])
def test_scripts_read_as_moshi(speakers: bool, between: int) -> None:
    class Spell:
        def encode(self, word: str) -> list[int]:
            return [ord(c) for c in word]

    turns = [
        'Hello  there: (you)  <break time="0.5s"/> again',
        "I\u2019m here",
        "",
        "still me",
        ' <break time="2s" />x',
    ]
    want = script_to_entries(Spell(), TokenIds(CARD), 12.5, turns, multi_speaker=speakers, padding_between=between)
    got = script_entries(turns, Spell().encode, speaker_tokens=(1, 2) if speakers else (), padding_between=between)
    assert [(list(e.tokens), e.text, e.padding) for e in got] == [(e.tokens, e.text, e.padding) for e in want]
