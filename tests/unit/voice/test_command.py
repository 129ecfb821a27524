"""The words of a command without what is left of the wake word, and the ledger of its times."""

from __future__ import annotations

import pytest

from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.voice.latency import STAGES, TurnLatency
from noctule.voice.transcript import Transcript, Wording


def words(command: Transcript, *items: tuple[str, float, float]) -> str:
    for text, start, end in items:
        command.add(Word(text, start, end))
    return command.text


def test_what_is_left_of_the_wake_word_is_left_out():
    assert words(Transcript("hey noctule", 0.2), ("noctule", 0.1, 0.2), ("what", 0.5, 0.6)) == "what"
    assert words(Transcript("hey noctule", 0.2), ("Nocturne,", 0.3, 0.4), ("stop", 0.5, 0.6)) == "stop"
    assert (
        words(Transcript("hey noctule", 0.6), ("hey", 0.1, 0.2), ("noctule", 0.3, 0.5), ("mute", 0.9, 1.0)) == "mute"
    )
    assert words(Transcript("hey noctule", 1.0), ("nonsense", 0.2, 0.5), ("mute", 1.2, 1.3)) == "mute"


def test_the_same_words_later_are_part_of_the_command():
    assert words(Transcript("hey noctule", 0.2), ("call", 0.5, 0.6), ("noctule", 0.7, 0.9)) == "call noctule"
    assert words(Transcript("hey noctule", 0.2), ("hey", 1.5, 1.6), ("there", 1.7, 1.8)) == "hey there"
    assert words(Transcript("", 0.0), ("noctule", 0.0, 0.1)) == "noctule"
    assert words(Transcript("stop", 0.2), ("stop", 0.1, 0.2), ("stop", 0.5, 0.6)) == "stop"


def test_a_remote_engine_tells_no_times():
    command = Transcript("hey noctule", 0.2)
    for text in ["Hey", "noctule,", "what", "time", "is", "it"]:
        command.add(Word(text, 0.0, 0.0))
    assert command.text == "what time is it"
    assert command.skipped == 2
    assert command.confidence is None


def test_an_end_of_turn_is_no_word():
    command = Transcript()
    assert not command.add(EndOfTurn(1.0, 0.9))
    assert command.add(Word("go", 0.0, 0.1, 0.5))
    assert command.confidence == pytest.approx(0.5)


def test_the_ledger_counts_from_the_end_of_speech_and_leaves_out_what_it_does_not_know():
    ledger = TurnLatency(woken=10.0, noticed=10.02)
    assert ledger.entries() == {"wake_ms": 20}
    ledger.mark("words", 12.3)
    ledger.mark("words", 12.6, again=True)
    ledger.mark("token", 12.9)
    ledger.mark("token", 13.9)
    assert ledger.entries() == {"wake_ms": 20}, "without an end of speech there is nothing to count from"
    ledger.spoke = 12.5
    ledger.mark("ended", 12.75)
    ledger.mark("sound", 13.0)
    ledger.mark("total", 14.0)
    wanted = {"wake_ms": 20, "words_ms": 100, "ended_ms": 250, "token_ms": 400, "sound_ms": 500, "total_ms": 4000}
    assert ledger.entries() == {**wanted, "speech_ms": 2500}
    assert set(STAGES) == set(wanted)


def test_readings_become_wordings_without_the_wake_word():
    """Readings that differ in nothing but the wake word are one wording; unlikely ones are not looked at."""

    def reading(share: float, text: str, sure: float) -> Reading:
        return Reading(tuple(Word(one, 0.4, 0.5, sure) for one in text.split()), share)

    command = Transcript("hey noctule", 0.5)
    found = command.wordings([
        reading(0.30, "noctule set a dimer", 0.5),
        reading(0.25, "set a timer", 0.6),
        reading(0.20, "hey set a timer", 0.4),
        reading(0.15, "noctule", 0.9),
        reading(0.095, "said a timer", 0.3),
        reading(0.005, "sea", 0.3),
    ])  # fmt: skip
    assert [w.text for w in found] == ["set a timer", "set a dimer", "", "said a timer"]
    assert [w.share for w in found] == pytest.approx([0.45, 0.3, 0.15, 0.095])
    assert found[0].confidence == pytest.approx(0.6), "the likelier reading's"
    assert found[2] == Wording("", pytest.approx(0.15), None)


def test_looking_ahead_changes_nothing():
    command = Transcript("hey noctule", 0.5)
    guess = [Word("noctule", 0.4, 0.6), Word("set", 0.8, 1.0)]
    assert command.ahead(guess).text == "set"
    assert (command.text, command.skipped) == ("", 0)
    for word in guess:
        command.add(word)
    assert command.ahead([Word("noctule", 1.0, 1.2)]).text == "set noctule"


def test_without_readings_there_is_one_wording():
    command = Transcript()
    command.add(Word("stop", 0.0, 0.1, 0.7))
    assert command.wordings() == (Wording("stop", 1.0, pytest.approx(0.7)),)
