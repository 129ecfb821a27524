"""The voice: spoken while it is written, silent at once when interrupted, honest when it cannot."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from fake_pyaudio import Card, Stream
from spoken_world import HEY, LOUD, QUIET, STOP, Room, Script, Speech, Voice, said

from noctule.audio.chime import RATE as CHIME_RATE
from noctule.audio.chime import SECONDS, chime
from noctule.audio.speaker import PortAudioSpeaker, WavSpeaker
from noctule.audio.wavefile import WavReader
from noctule.core.clock import ManualClock
from noctule.core.errors import BusyError, DeviceError, UnavailableError
from noctule.core.events import Bus
from noctule.service.supervisor import Part
from noctule.voice.speech_handle import LONGEST, STALL, SpeechHandle
from noctule.voice.speech_worker import WAITING, SpeechWorker
from waiting import WAIT, until, wait_for

SPEAKER = [("Speaker", "ALSA", 0, 2, 48000)]


class Board:
    """A room with a sound card that asks for a block of 20 ms whenever the test says so."""

    def __init__(self, **options: Any) -> None:
        self.card = Card(SPEAKER)
        self.clock = ManualClock(start=10.0)
        self.voice, self.script = Voice(), Script()
        self.script.last = said("what time is it")
        self.speaker = PortAudioSpeaker(module=self.card, clock=self.clock)
        self.room = Room(self.script, self.speaker, self.voice, clock=self.clock, **options)
        self.room.pieces = [f"word{i} " for i in range(40)]

    def stream(self, count: int = 1) -> Stream:
        """The stream of the `count`-th answer, once it is open and has sound."""
        for _ in range(int(WAIT / 0.001)):
            if len(self.card.streams) >= count and self.speaker._queued:
                return self.card.streams[count - 1]
            threading.Event().wait(0.001)
        raise AssertionError("nothing was spoken")

    def pull(self, stream: Stream, blocks: int) -> int:
        """Play so many blocks of 20 ms, each as soon as the voice has made it; how many had sound."""
        return sum(any(self.block(stream)) for _ in range(blocks))

    def block(self, stream: Stream) -> bytes:
        """The next 20 ms, waited for: on a busy machine the voice's thread is not always ahead."""
        for _ in range(int(WAIT / 0.001)):
            if self.speaker._queued or stream.closed:
                break
            threading.Event().wait(0.001)
        data: bytes = stream.pull()[0]
        return data


@pytest.mark.parametrize("word", [HEY, STOP])
def test_a_wake_or_stop_word_silences_an_answer_within_200_ms(word):
    """In the sound's own time: hops of 10 ms come in while blocks of 20 ms go out; the microphone never stops."""
    board = Board()
    room = board.room
    with room.running() as events:
        room.command()
        stream = board.stream()
        assert board.pull(stream, 5) == 5
        loud = []
        for tick in range(30):  # 600 ms; the word is complete at the end of tick 9
            room.play(0.02, LOUD, word if tick == 9 else None)
            data = board.block(stream) if tick < 9 else b"" if stream.closed else stream.pull()[0]
            loud.append(any(data))
        assert all(loud[:9])
        late = sum(loud[10:]) * 20
        assert late <= 200
        assert late <= 20, "one block may be on its way"
        wait_for(events, "session.interrupted")
        cancelled = wait_for(events, "session.cancelled")
    assert cancelled.fields["sound_ms"] > 0
    assert stream.closed
    assert board.voice.texts[0].cancelled
    assert board.voice.texts[0].frames < 40, "the rest was not even made"
    assert room.mouth is not None
    assert room.mouth.interrupted == 1


def test_the_answer_is_spoken_while_it_is_being_written():
    board = Board()
    room = board.room
    room.pieces, room.thinking = ["one ", "two "], threading.Event()
    with room.running() as events:
        room.command()
        stream = board.stream()
        assert not room.thinking.is_set(), "the brain has not finished"
        assert board.pull(stream, 4) == 4
        room.thinking.set()
        while not stream.closed:
            if stream.pull()[1] == Card.paComplete:
                break
        turn = wait_for(events, "session.turn")
    assert turn.fields["spoken"] is True
    assert turn.fields["token_ms"] <= turn.fields["sound_ms"]


def test_the_voice_is_never_far_ahead_of_the_loudspeaker():
    board = Board()
    board.room.pieces = [f"word{i} " for i in range(400)]
    with board.room.running() as events:
        board.room.command()
        stream = board.stream()
        for played in range(1, 60):
            until(lambda: board.speaker._queued >= 2560)
            assert board.pull(stream, 4) == 4  # 80 ms, a frame
            assert board.voice.texts[0].frames * 0.08 <= 1.3 + played * 0.08
        board.room.play(0.1, LOUD, STOP)
        wait_for(events, "session.stopped")


def test_a_loudspeaker_that_is_unplugged_is_said_once_and_the_turn_ends():
    board = Board()
    room = board.room
    with room.running() as events:
        for answer in (1, 2):
            room.command()
            stream = board.stream(answer)
            assert board.pull(stream, 2) == 2
            stream.active = False
            failed = wait_for(events, "voice.failed")
            assert "plays nothing any more" in failed.message
            assert failed.level == (4 if answer == 1 else 6), "one line for each trouble, not for each answer"
            assert wait_for(events, "session.turn").fields["spoken"] is False
        board.card.devices.clear()
        room.command()
        assert "no loudspeaker" in wait_for(events, "voice.failed").message
        wait_for(events, "session.turn")
        assert room.mouth is not None
        assert "no loudspeaker" in room.mouth.report()["trouble"]
    assert not room.failed, "the thread lives on"


def test_a_device_that_stops_asking_counts_as_gone():
    board = Board()
    room = board.room
    with room.running() as events:
        room.command()
        board.stream()
        board.clock.advance(2.0)
        assert "plays nothing any more" in wait_for(events, "voice.failed").message


def test_a_voice_that_breaks_ends_its_turn_in_words_and_its_thread_for_the_supervisor(tmp_path):
    voice, script = Voice(), Script()
    script.last = said("hello")
    voice.error = ZeroDivisionError("a bug")
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.command()
        assert "failed (ZeroDivisionError) and is restarted" in wait_for(events, "voice.failed").message
        assert wait_for(events, "session.turn").fields["spoken"] is False
        room.command()
        assert wait_for(events, "session.turn").fields["spoken"] is False, "while it is away, answers are written"
    assert [type(error) for error in room.failed] == [ZeroDivisionError]
    assert voice.closed


def test_a_frozen_voice_is_overdue_and_nobody_waits_for_it(tmp_path):
    voice, script = Voice(), Script()
    script.last = said("hello")
    voice.hold = threading.Event()
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.command()
        wait_for(events, "session.words")
        until(lambda: voice.texts)
        room.clock.advance(STALL + 1)
        assert "no sound for 15 s" in wait_for(events, "voice.failed").message
        assert wait_for(events, "session.turn").fields["spoken"] is False
        assert room.parts["voice"].overdue(room.clock.monotonic())
        voice.hold.set()


def test_a_full_queue_refuses_and_counts(tmp_path):
    voice = Voice()
    voice.hold = threading.Event()
    room = Room(None, WavSpeaker(tmp_path), voice)
    mouth = room.mouth
    assert mouth is not None
    waiting = [mouth.begin() for _ in range(WAITING)]
    with pytest.raises(BusyError, match="wait to be spoken"):
        mouth.ring()
    assert mouth.report()["dropped"] == 1
    mouth.stop()
    voice.hold.set()
    with room.running():
        assert [one.wait(WAIT) for one in waiting] == [False] * WAITING


def test_what_waits_is_told_when_the_voice_ends(tmp_path):
    room = Room(None, WavSpeaker(tmp_path), Voice())
    mouth = room.mouth
    assert mouth is not None
    stop = threading.Event()
    stop.set()
    saying = mouth.begin()
    mouth.run(room.parts.setdefault("voice", _part(room)), stop)
    with pytest.raises(UnavailableError, match="out of service"):
        saying.wait(WAIT)


def _part(room: Room) -> Any:
    from noctule.service.supervisor import Part

    return Part("voice", 15, room.clock)


def test_a_text_without_end_is_cut_and_counted():
    saying = SpeechHandle(lambda: True, ManualClock())
    saying.put("x" * (LONGEST - 2))
    saying.put("abcd")
    saying.put("e")
    text, closed = saying.take()
    assert (len(text), text[-2:], closed, saying.cut) == (LONGEST, "ab", False, 3)
    saying.put("more")
    saying.close()
    assert saying.take() == ("more", True)


def test_announcements_are_spoken_when_nobody_is_listened_to(tmp_path):
    voice, script = Voice(), Script()
    script.last = said("hello")
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.play(1, QUIET)
        room.play(0.4, LOUD, HEY)
        room.play(0.5, LOUD)
        result = room.turns.announce("The pasta timer is over.")
        room.play(0.8, QUIET)
        wait_for(events, "session.turn")
        assert result.result(WAIT) is True
        wait_for(events, "speech.announced")
    assert [speech.text for speech in voice.texts] == ["It is noon.", "The pasta timer is over."]


def test_without_a_voice_the_chime_rings_until_it_is_stopped():
    card = Card(SPEAKER)
    clock = ManualClock(start=10.0)
    speaker = PortAudioSpeaker(module=card, clock=clock)
    room = Room(None, speaker, None, clock=clock)
    with room.running() as events:
        until(lambda: room.mouth is None or not room.mouth.speaks)
        with pytest.raises(UnavailableError, match="no voice"):
            room.turns.announce("hello")
        result = room.turns.announce("")
        until(lambda: card.streams and speaker._queued)
        assert any(card.streams[0].pull()[0])
        room.play(0.1, LOUD, STOP)
        assert not any(card.streams[0].pull()[0])
        assert result.result(WAIT) is False
        assert "not to its end" in wait_for(events, "speech.announced").message


def test_announcements_are_bounded_and_need_a_loudspeaker(tmp_path):
    with pytest.raises(UnavailableError, match="no loudspeaker"):
        Room(None).turns.announce("")
    room = Room(None, WavSpeaker(tmp_path), Voice())
    waiting = [room.turns.announce("x") for _ in range(8)]
    with pytest.raises(BusyError):
        room.turns.announce("x")
    assert room.turns.report()["announcements_dropped"] == 1
    voice_fails = UnavailableError("The voice is away.")
    room.mouth._load = lambda: _failing(voice_fails)  # type: ignore[union-attr]
    with room.running(), pytest.raises(UnavailableError):
        waiting[0].result(WAIT)
    with pytest.raises(UnavailableError):
        waiting[-1].result(WAIT)


def _failing(error: Exception) -> Voice:
    voice = Voice()
    voice.error = error
    return voice


def test_the_chime_is_a_short_loud_enough_sound_without_clicks():
    sound = chime()
    assert len(sound) == SECONDS * CHIME_RATE
    assert 0.2 < np.abs(sound).max() < 0.5
    assert np.abs(np.diff(sound)).max() < 0.3
    assert abs(sound[0]) < 0.01
    assert abs(sound[-1]) < 0.01


def test_a_card_of_another_rate_gets_the_sound_at_its_own():
    card = Card(SPEAKER, rates=(48000,))
    speaker = PortAudioSpeaker(module=card)
    speaker.start(16000)
    assert card.opened[0]["rate"] == 48000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1600) / 16000).astype(np.float32)
    speaker.write(tone)
    speaker.finish()
    assert speaker.ahead() == pytest.approx(0.1, abs=0.01)
    played = b""
    while (pulled := card.streams[0].pull())[1] == Card.paContinue:
        played += pulled[0]
    heard = np.frombuffer(played + pulled[0], np.int16)[300:4500] / 32768
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48000)[300:4500]
    assert np.abs(heard - wanted).max() < 0.01
    assert speaker.played(0)
    speaker.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DeviceError, match="cannot be made"):
        WavSpeaker(tmp_path / "file" / "x").start(16000)


def test_answers_in_files_have_the_voices_rate(tmp_path):
    voice, script = Voice(), Script()
    script.last = said("hello")
    room = Room(script, WavSpeaker(tmp_path), voice)
    with room.running() as events:
        room.command()
        wait_for(events, "session.turn")
    with WavReader(tmp_path / "answer-1.wav") as wav:
        assert wav.format.sample_rate == 16000
        assert sum(map(len, wav.blocks())) == 3 * 1280


class Unplugged(WavSpeaker):
    """A loudspeaker that does not open."""

    def start(self, rate: int) -> None:
        try:
            raise OSError("no such device")
        except OSError as error:
            raise DeviceError("The loudspeaker does not open.", "aplay -l") from error


def test_what_could_not_be_said_is_freed_at_once(tmp_path):
    """Its error goes to whoever waits, and must not take the synthesis (megabytes of caches) with it."""
    made: list[weakref.ref[Speech]] = []

    class Fleeting(Voice):
        def begin(self) -> Speech:
            speech = Speech(self)
            made.append(weakref.ref(speech))
            return speech

    mouth = SpeechWorker(Bus(), ManualClock(start=10.0), Unplugged(tmp_path), Fleeting)
    job = threading.Event()
    part = Part("voice", 15.0, mouth._clock)
    thread = threading.Thread(target=mouth.run, args=(part, job))
    gc.disable()
    try:
        thread.start()
        saying = mouth.begin()
        saying.put("It is noon.")
        saying.close()
        error = saying.result.exception(WAIT)
        assert isinstance(error, DeviceError)
        job.set()
        mouth.job.wake()
        thread.join(WAIT)
        assert len(made) == 1
        assert made[0]() is None
    finally:
        gc.enable()
        job.set()
