"""Turns: words while they are spoken, the end of the turn, the answer, confidence, failures, the ledger."""

from __future__ import annotations

import threading

import pytest
from spoken_world import HEY, LOUD, QUIET, STOP, Room, Script, Voice, said

from noctule.audio.chunk import RATE
from noctule.audio.speaker import WavSpeaker
from noctule.core.errors import BusyError, UnavailableError
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.voice.questions import GIVEN_UP, SORRY
from noctule.voice.session import ASLEEP, LISTENING
from waiting import WAIT, until, wait_for


def test_words_appear_while_they_are_spoken_and_the_recogniser_ends_the_turn(tmp_path):
    script = Script()
    script.says = [
        (0.5, Word("noctule", 0.1, 0.2, 0.3)),
        (0.8, Word("what", 0.6, 0.7, 0.9)),
        (1.0, Word("time", 0.8, 0.9, 0.8)),
        (1.2, EndOfTurn(1.1, 0.9)),
    ]
    script.last = [Word("now", 1.1, 1.2, 0.7)]
    room = Room(script, WavSpeaker(tmp_path), Voice())
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        room.play(0.7, LOUD)
        first = wait_for(events, "speech.words")
        assert room.session.state == LISTENING, "the command is still being spoken"
        assert (first.fields["words"], first.fields["text"]) == ("what", "what")
        assert first.fields["confidence"] == 0.9
        room.play(0.5, QUIET)  # shorter than the silence that would end it
        turn = wait_for(events, "session.turn")
    assert room.asked == ["what time now"], "what is left of the wake word is no part of the command"
    heard = [event.fields["text"] for event in room.events if event.kind == "speech.words"]
    assert heard == ["what", "what time", "what time now"]
    words = next(event for event in room.events if event.kind == "session.words")
    assert words.fields["reason"] == "end of turn"
    assert words.fields["confidence"] == pytest.approx((0.9 * 0.8 * 0.7) ** (1 / 3), abs=1e-3)
    assert turn.fields["spoken"] is True
    assert turn.fields["reply"] == "It is noon."
    assert room.session.state == ASLEEP
    assert script.closed
    assert [path.name for path in tmp_path.iterdir()] == ["answer-1.wav"]


def test_the_ledger_names_where_the_time_went(tmp_path):
    script = Script()
    script.last = said("what time is it")
    room = Room(script, WavSpeaker(tmp_path), Voice())
    with room.running() as events:
        room.command(0.8)
        fields = wait_for(events, "session.turn").fields
    assert fields["wake_ms"] == 0
    assert fields["speech_ms"] == pytest.approx(900, abs=30)
    assert fields["ended_ms"] == pytest.approx(700, abs=20), "silence must prove the end"
    for name in ("words_ms", "token_ms", "sound_ms"):
        assert fields["ended_ms"] <= fields[name] <= 820, "the clock goes with the sound, so no more than was played"
    assert fields["total_ms"] >= fields["speech_ms"] + fields["sound_ms"]
    assert room.turns.last_turn == {"turn": 1, "outcome": "turn", **{k: v for k, v in fields.items() if "_ms" in k}}
    assert script.quiet == [pytest.approx(0.7, abs=0.03)]
    assert sum(script.fed) == pytest.approx((0.2 + 0.1 + 0.8 + 0.7) * RATE, abs=0.03 * RATE)


def test_without_a_recogniser_nobody_pretends_to_understand():
    room = Room(None)
    with room.running() as events:
        room.command()
        told = wait_for(events, "session.unrecognised")
    assert "no recogniser" in told.message
    assert told.fields["total_ms"] > 0
    assert room.asked == []
    assert room.turns.last is not None
    assert room.turns.last.seconds > 1
    assert room.session.state == ASLEEP


def test_a_recogniser_that_fails_or_hears_nothing_ends_the_turn_in_words():
    script = Script()
    script.error = UnavailableError("The recogniser is away.")
    room = Room(script)
    with room.running() as events:
        room.command()
        failed = wait_for(events, "session.failed")
        assert "is away" in failed.message
        assert failed.fields["code"] == "unavailable"
        script.error = None
        room.command()
        assert "no words" in wait_for(events, "session.unrecognised").message
    assert room.asked == []
    assert not room.failed
    assert script.cancelled == 2


def test_a_recogniser_that_breaks_ends_the_turn_in_words_and_the_thread_for_the_supervisor():
    script = Script()
    script.error = ZeroDivisionError("a bug")
    room = Room(script)
    with room.running() as events:
        room.command()
        failed = wait_for(events, "session.failed")
    assert "broke (ZeroDivisionError) and is restarted" in failed.message
    assert [type(error) for error in room.failed] == [ZeroDivisionError]
    assert room.session.state == ASLEEP
    assert script.closed


def test_a_frozen_recogniser_is_overdue_and_its_turn_ends_all_the_same():
    script = Script()
    script.hold = threading.Event()
    room = Room(script, limit=20.0)
    with room.running() as events:
        room.command()
        room.play(21, QUIET)
        assert "no answer came within 20 s" in wait_for(events, "session.failed").message
        assert room.session.state == ASLEEP
        room.clock.advance(130)
        assert room.parts["turns"].overdue(room.clock.monotonic()), "the watchdog is no longer fed"
        script.hold.set()
    assert room.asked == []


def test_a_wake_word_interrupts_what_is_being_answered_and_nothing_of_the_next_is_lost(tmp_path):
    script = Script()
    script.last = said("first")
    room = Room(script, WavSpeaker(tmp_path), Voice())
    room.thinking = threading.Event()
    with room.running() as events:
        room.command()
        wait_for(events, "session.words")
        script.last = said("second")
        room.command(0.6)
        assert "gave" not in wait_for(events, "session.cancelled").message
        room.thinking.set()
        turn = wait_for(events, "session.turn")
    assert turn.fields["turn"] == 2
    assert room.asked == ["first", "second"]
    assert room.kinds().count("session.interrupted") == 1


def test_a_stop_word_or_silence_ends_listening_without_an_answer():
    script = Script()
    script.says = [(0.5, Word("what", 0.6, 0.7))]
    room = Room(script)
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        room.play(0.5, LOUD)
        wait_for(events, "speech.words")
        room.play(0.1, LOUD, STOP)
        wait_for(events, "session.stopped")
        script.says = []
        assert script.begun.acquire(timeout=WAIT)
        room.play(0.4, LOUD, HEY)
        # a turn that ends before its thread has begun it is replaced by the next one, and there is nothing to cancel
        assert script.begun.acquire(timeout=WAIT)
        room.play(5, QUIET)
        wait_for(events, "session.nothing")
        script.last = said("what time is it")
        room.command()
        wait_for(events, "session.turn")
    assert room.asked == ["what time is it"]
    assert script.cancelled == 3
    assert "session.cancelled" not in room.kinds()


def test_a_command_that_is_not_sure_is_asked_for_once_more_and_then_given_up(tmp_path):
    voice, script = Voice(), Script(confidence=0.6)
    script.last = said("turn of the light", 0.4)
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.command()
        unsure = wait_for(events, "session.unsure")
        assert (unsure.fields["reply"], unsure.fields["spoken"]) == (SORRY, True)
        assert (unsure.fields["confidence"], unsure.fields["threshold"]) == (0.4, 0.6)
        until(lambda: room.session.state == LISTENING)
        room.play(0.6, LOUD)  # no wake word is needed
        room.play(0.8, QUIET)
        unsure = wait_for(events, "session.unsure")
        assert unsure.fields["again"] is True
        assert unsure.fields["reply"] == GIVEN_UP
        assert room.session.state == ASLEEP
        script.last = said("turn off the light", 0.7)
        room.command()
        wait_for(events, "session.turn")
    assert room.asked == ["turn off the light"], "nothing that was doubtful was acted on"
    assert [speech.text for speech in voice.texts][:2] == [SORRY, GIVEN_UP]
    assert room.kinds().count("wake.heard") == 2


def test_of_several_wordings_the_one_that_makes_sense_is_told_and_answered(tmp_path):
    """The brain elects in its own thread; the words are told once, as they were taken."""
    voice, script = Voice(), Script(confidence=0.5)
    script.last = said("hey set a dimer", 0.3)
    script.readings = (
        Reading(tuple(said("set a dimer", 0.3)), 0.5),
        Reading(tuple(said("set a timer", 0.2)), 0.3),
        Reading((), 0.2),
    )
    room = Room(script, WavSpeaker(tmp_path), voice)
    room.takes = (1, 0.8)
    with room.running() as events:
        room.command()
        words = wait_for(events, "session.words")
        assert (words.fields["words"], words.fields["confidence"]) == ("set a timer", 0.8)
        wait_for(events, "session.turn")
        room.takes = (1, None)  # a brain that cannot tell: the recogniser's own judgement, which is 0.2
        room.command()
        unsure = wait_for(events, "session.unsure")
        assert (unsure.fields["reply"], unsure.fields["confidence"]) == (SORRY, 0.2)
    assert room.asked == ["set a timer"]
    assert room.kinds().count("session.words") == 2
    assert [speech.text for speech in voice.texts] == ["It is noon.", SORRY]


def test_a_brain_that_fails_before_it_elects_leaves_the_likeliest_words(tmp_path):
    script = Script()
    script.last = said("set a dimer", 0.3)
    script.readings = (Reading(tuple(said("set a dimer", 0.3)), 0.6), Reading(tuple(said("set a timer", 0.2)), 0.4))
    room = Room(script, WavSpeaker(tmp_path), Voice())
    room.fails = BusyError("The model is busy.")
    with room.running() as events:
        room.command()
        assert wait_for(events, "session.words").fields["words"] == "set a dimer"
        assert "is busy" in wait_for(events, "session.failed").message


def test_what_is_likely_is_shown_while_it_is_spoken_and_ends_the_turn():
    """A search is certain of its words late: neither they nor the end of the turn may wait for that."""
    script = Script()
    script.guesses = [(0.3, said("set")), (0.55, said("said a")), (0.8, said("set a timer")), (1.1, said("a timer"))]
    script.says = [(1.1, Word("set", 0.3, 0.5)), (1.15, EndOfTurn(1.0, 0.97))]
    script.last = said("a timer")
    room = Room(script)
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        for text in ("set", "said a", "set a timer"):
            room.play(0.25, LOUD)
            assert wait_for(events, "speech.words").fields["text"] == text
        room.play(0.25, LOUD)
        assert wait_for(events, "session.words").fields["reason"] == "end of turn"
        wait_for(events, "session.turn")
    assert room.asked == ["set a timer"]
    assert room.kinds().count("speech.words") == 3, "what was shown is not shown again when it becomes certain"


def test_what_is_left_of_the_wake_word_ends_no_turn():
    script = Script()
    rest = Word("noctule", 0.1, 0.2)
    script.guesses = [(0.2, [rest])]
    script.says = [(0.4, EndOfTurn(0.3, 0.97))]
    script.last = [rest, *said("stop")]
    room = Room(script)
    with room.running() as events:
        room.command()
        assert wait_for(events, "session.words").fields["reason"] == "ended"
    assert room.asked == ["stop"]


def test_where_silence_is_likelier_than_any_words_nothing_was_said():
    script = Script()
    script.last = []
    script.readings = (Reading((), 0.7), Reading(tuple(said("stop", 0.9)), 0.3))
    room = Room(script)
    with room.running() as events:
        room.command()
        assert "no words" in wait_for(events, "session.unrecognised").message
    assert room.asked == []


def test_the_configured_confidence_wins_over_the_packages_own():
    for threshold, wanted in ((0.0, ["maybe"]), (0.9, [])):
        script = Script(confidence=0.6)
        script.last = said("maybe", 0.5 if not threshold else 0.8)
        room = Room(script, threshold=threshold)
        with room.running() as events:
            room.command()
            wait_for(events, "session.turn" if wanted else "session.unsure")
        assert room.asked == wanted


def test_an_engine_that_fails_to_answer_or_to_speak_is_said(tmp_path):
    voice, script = Voice(), Script()
    script.last = said("what time is it")
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.fails = BusyError("The model is busy.")
        room.command()
        assert "is busy" in wait_for(events, "session.failed").message
        room.fails = None
        voice.error = UnavailableError("The voice is away.")
        room.command()
        assert "The voice is away" in wait_for(events, "voice.failed").message
        turn = wait_for(events, "session.turn")
        assert turn.fields["spoken"] is False
        assert turn.fields["reply"] == "It is noon.", "it was answered, if not aloud"
        voice.error = None
        room.pieces, room.reply = [], "One o'clock."
        room.command()
        turn = wait_for(events, "session.turn")
        assert turn.fields["spoken"] is True, "an answer without pieces is spoken whole"
    assert voice.texts[-1].text == "One o'clock."
    assert list(tmp_path.glob("*.wav")) == [tmp_path / "answer-1.wav"], "nothing is half written"


def test_the_first_of_two_waiting_commands_is_replaced_and_counted():
    script = Script()
    script.hold = threading.Event()
    room = Room(script)
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        room.play(0.5, LOUD)
        until(lambda: script.fed)
        for _ in range(2):
            room.play(0.4, LOUD, HEY)
        room.play(0.6, LOUD)
        room.play(0.8, QUIET)
        script.last = said("third")
        script.hold.set()
        assert wait_for(events, "session.turn").fields["turn"] == 3
    assert room.turns.replaced == 1
    assert room.asked == ["third"]


def test_a_reopened_source_begins_its_numbers_again_and_ends_what_was_heard():
    script = Script()
    room = Room(script)
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        room.play(0.4, LOUD)
        room.session.broken()
        room.index = 0
        script.last = said("again")
        room.command()
        assert wait_for(events, "session.turn").fields["turn"] == 2
    assert room.asked == ["again"]


def test_a_missing_recogniser_is_looked_for_again_when_asked():
    script = Script()
    script.last = said("hello")
    room = Room(None)
    with room.running() as events:
        room.command()
        wait_for(events, "session.unrecognised")
        room.recogniser = script
        room.turns.retry()
        until(lambda: room.turns.report()["recogniser"])
        room.command()
        wait_for(events, "session.turn")
    assert room.asked == ["hello"]
    assert WAIT > 1
