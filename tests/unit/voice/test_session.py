"""The session's states, the hearing worker and the turns, with real threads and a source the test controls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from noctule.audio.chunk import HOP, RATE, Chunk, EndOfSound
from noctule.audio.ring import SoundRing
from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import DeviceError
from noctule.core.events import Bus, Event
from noctule.service.supervisor import Part
from noctule.voice.listener import Listener
from noctule.voice.session import ASLEEP, LISTENING, SPEAKING, THINKING, Session, SessionSettings
from noctule.voice.utterance import Opening, Utterance

RNG = np.random.default_rng(5)


@dataclass(frozen=True)
class Word:
    word: str = "hey"
    phrase: str = "hey noctule"
    score: float = 0.97
    threshold: float = 0.9


class Room:
    """A session fed by hand, one hop at a time."""

    def __init__(self, **settings: Any) -> None:
        self.bus, self.events = Bus(), list[Event]()
        self.bus.add_sink(self.events.append)
        self.ring = SoundRing(8)
        self.utterances: list[Utterance] = []
        self.cut_short: list[int] = []
        self.openings: list[Opening] = []
        self.sounds = 0
        self.session = Session(
            self.bus,
            self.ring,
            self,
            SessionSettings(stop_words=frozenset({"stop"}), **settings),
        )
        self.index = 0

    def play(self, seconds: float, level: float, word: Word | None = None) -> None:
        """Noise of that level; the word is detected in its last hop."""
        hops = round(seconds * 100)
        for i in range(hops):
            samples = (RNG.standard_normal(HOP) * level).astype(np.int16)
            chunk = Chunk(samples, 10 + self.index / RATE, self.index)
            self.index += HOP
            self.ring.write(chunk)
            self.session.hear(chunk, [word] if word is not None and i == hops - 1 else [])

    def opened(self, opening: Opening) -> None:
        self.openings.append(opening)

    def heard(self) -> None:
        self.sounds += 1

    def finished(self, utterance: Utterance) -> None:
        self.utterances.append(utterance)

    def interrupted(self, turn: int) -> None:
        self.cut_short.append(turn)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def test_a_command_is_cut_from_before_the_wake_word_to_the_end_of_speech() -> None:
    room = Room(pre_roll=0.5)
    room.play(2, 40)
    assert room.session.state == ASLEEP
    room.play(0.5, 3000, Word())
    assert room.session.state == LISTENING
    room.play(1.2, 3000)
    room.play(1, 40)
    assert room.session.state == THINKING
    (said,) = room.utterances
    assert said.turn == 1
    assert said.word == "hey"
    assert said.seconds == pytest.approx(0.5 + 1.2 + 0.7, abs=0.05)
    assert said.ended - said.woken == pytest.approx(1.9, abs=0.05)
    assert np.abs(said.samples[: int(1.6 * RATE)].astype(int)).mean() > 1500, "the pre-roll and the words are in it"
    assert room.session.speaking(1)
    assert room.session.state == SPEAKING
    assert room.session.done(1)
    assert room.session.state == ASLEEP
    assert room.kinds() == ["wake.heard", "session.utterance"]
    assert not room.session.done(1)


def test_silence_after_the_wake_word_goes_back_to_sleep() -> None:
    room = Room()
    room.play(2, 40)
    room.play(0.1, 40, Word())
    room.play(5, 40)
    assert room.session.state == ASLEEP
    assert room.utterances == []
    assert room.kinds() == ["wake.heard", "session.nothing"]


def test_a_wake_word_interrupts_and_a_late_answer_of_the_old_turn_is_ignored() -> None:
    room = Room()
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.play(0.5, 3000)
    room.play(1, 40)
    assert room.session.speaking(1)
    room.play(0.3, 3000, Word())
    assert room.cut_short == [1]
    assert room.session.state == LISTENING
    assert not room.session.speaking(1)
    assert not room.session.done(1)
    assert room.session.state == LISTENING
    room.play(0.4, 3000)
    room.play(1, 40)
    assert room.utterances[-1].turn == 2
    assert room.session.turn == 2


def test_a_stop_word_ends_a_turn_but_means_nothing_to_a_sleeper() -> None:
    room = Room()
    room.play(1, 40, Word("stop", "stop"))
    assert room.kinds() == []
    room.play(0.3, 3000, Word())
    room.play(0.3, 3000, Word("stop", "stop"))
    assert room.session.state == ASLEEP
    assert room.cut_short == [1], "what was being recognised is dropped"
    assert room.kinds() == ["wake.heard", "session.stopped"]


def test_muting_forgets_everything() -> None:
    room = Room()
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.play(0.5, 3000)
    room.play(1, 40)
    room.session.reset()
    assert room.session.state == ASLEEP
    assert room.cut_short == [1]
    assert len(room.ring.read(0)[0]) == 0
    assert not room.session.speaking(1)
    assert room.session.report()["state"] == ASLEEP


# ---- the hearing worker


class Line:
    """A sound source whose every block the test hands over; None: an unplugged device."""

    name = "test line"
    steady = True

    def __init__(self) -> None:
        self.blocks: queue.Queue[Chunk | type[EndOfSound] | None] = queue.Queue()
        self.opened = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)

    def open(self) -> None:
        self.opened.release()

    def read(self, timeout: float) -> Chunk | None:
        try:
            block = self.blocks.get(timeout=timeout)
        except queue.Empty:
            return None
        if block is None:
            raise DeviceError("The test line was unplugged.")
        if block is EndOfSound:
            raise EndOfSound
        assert isinstance(block, Chunk)
        return block

    def close(self) -> None:
        self.closed.release()


class Scores:
    """A detector that hears the word in any hop louder than 20000."""

    def __init__(self) -> None:
        self.resets = self.holes = 0
        self.closed = False

    def push(self, samples: np.ndarray) -> list[Word]:
        return [Word()] if np.abs(samples.astype(int)).max() > 20000 else []

    def reset(self) -> None:
        self.resets += 1

    def hole(self) -> None:
        self.holes += 1

    def close(self) -> None:
        self.closed = True


class Worker:
    def __init__(self) -> None:
        self.bus, self.line, self.scores, self.ring = Bus(), Line(), Scores(), SoundRing(4)
        self.clock = SystemClock()
        self.session = Session(self.bus, self.ring, Room())
        still = ManualClock(start=100)  # sound comes as fast as the test likes; by this clock it is never late
        self.ears = Listener(self.line, lambda: self.scores, self.session, self.ring, self.bus, still)
        self.part = Part("ears", 5, self.clock)
        self.stop = threading.Event()
        self.error: BaseException | None = None

    def main(self) -> None:
        try:
            self.ears.run(self.part, self.stop)
        except DeviceError as error:
            self.error = error


@contextmanager
def working() -> Iterator[Worker]:
    worker = Worker()
    thread = threading.Thread(target=worker.main)
    thread.start()
    try:
        assert worker.line.opened.acquire(timeout=5)
        yield worker
    finally:
        worker.stop.set()
        worker.ears.job.wake()
        thread.join(5)
        assert not thread.is_alive()
        assert worker.scores.closed


def hop(index: int, level: int) -> Chunk:
    return Chunk(np.full(HOP, level, np.int16), 100 + index / RATE, index)


def test_the_worker_beats_only_for_sound_and_wakes_on_the_word() -> None:
    with working() as worker, worker.bus.subscribe() as events:
        assert events.get(0.4) is None or worker.part.beats == 0
        assert worker.part.beats == 0, "no sound, no beat"
        worker.line.blocks.put(hop(0, 100))
        worker.line.blocks.put(hop(HOP, 30000))
        while (event := events.get(5)) is not None and event.kind != "wake.heard":
            pass
        assert event is not None
        assert event.fields["word"] == "hey"
        assert worker.part.beats >= 1
        for start in (10, 200):  # a click, and two seconds
            worker.line.blocks.put(hop(start * HOP, 100))
            worker.line.blocks.put(hop((start + 1) * HOP, 30000))
            while (event := events.get(5)) is not None and event.kind != "wake.heard":
                pass
        assert worker.ears.gaps == 2
        assert worker.scores.holes == 1, "no word may be made of sound from both sides of it"
        assert worker.scores.resets == 1, "loading the model again would cost more sound"
        assert worker.ears.report()["source"] == "test line"
        assert worker.ears.report()["open"] is True


def test_muting_closes_the_device_and_unmuting_opens_it_again() -> None:
    with working() as worker, worker.bus.subscribe() as events:
        assert worker.ears.mute(True, "asked by a test")
        assert not worker.ears.mute(True, "again")
        assert worker.line.closed.acquire(timeout=5)
        assert worker.ears.report()["state"] == "muted"
        beats = worker.part.beats
        assert worker.ears.mute(False, "asked by a test")
        assert worker.line.opened.acquire(timeout=5)
        assert worker.part.beats >= beats
        kinds = [event.kind for event in events.drain()]
        assert "audio.muted" in kinds
        assert "audio.unmuted" in kinds


def test_an_unplugged_device_ends_the_worker_for_the_supervisor() -> None:
    worker = Worker()
    worker.line.blocks.put(None)
    worker.main()
    assert isinstance(worker.error, DeviceError)
    assert worker.line.closed.acquire(timeout=1)
    assert worker.scores.closed


def test_the_end_of_a_file_is_not_a_failure() -> None:
    with working() as worker:
        worker.line.blocks.put(hop(0, 1))
        worker.line.blocks.put(EndOfSound)
        assert worker.ears.finished.wait(5)
        assert worker.error is None
        assert worker.ears.report()["state"] == "at its end"


def test_what_the_microphone_hears_is_said_once() -> None:
    with working() as worker, worker.bus.subscribe() as events:
        for i in range(450):
            worker.line.blocks.put(hop(i * HOP, 0))
        while (event := events.get(5)) is not None and event.kind != "audio.trouble":
            pass
        assert event is not None
        assert event.fields["state"] == "silent"
        assert "alsamixer" in event.message
        for i in range(450, 900):
            worker.line.blocks.put(hop(i * HOP, 500 if i % 2 else -500))
        while (event := events.get(5)) is not None and event.kind != "audio.healthy":
            assert event.kind != "audio.trouble"
        assert event is not None
        assert worker.ears.report()["level_db"] < 0


# ---- what a command's recogniser and voice say to the session


def test_the_recogniser_may_end_a_command_before_silence_does() -> None:
    room = Room(pre_roll=0.2)
    room.play(2, 40)
    room.play(0.5, 3000, Word())
    (opening,) = room.openings
    assert (opening.turn, opening.word, opening.lead) == (1, "hey", 0.2)
    assert opening.first == 2.5 * RATE - 0.2 * RATE
    room.play(0.6, 3000)
    room.play(0.2, 40)
    assert room.session.listening(1)
    assert room.sounds >= 60
    assert room.session.end_of_turn(1)
    assert not room.session.listening(1)
    assert not room.session.end_of_turn(1), "said once"
    assert not room.session.end_of_turn(0)
    (said,) = room.utterances
    assert said.reason == "end of turn"
    assert said.last == 3.3 * RATE
    assert said.spoke == pytest.approx(said.woken + 0.6, abs=0.02)
    assert said.ended - said.spoke == pytest.approx(0.2, abs=0.02)


def test_the_end_of_the_wake_word_is_no_command() -> None:
    """Detectors decide up to 0.2 s before the word is over; a pause after it must not end the turn."""
    room = Room()
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.play(0.2, 3000)
    room.play(1.5, 40)
    assert room.session.listening(1)
    assert room.utterances == []
    room.play(0.6, 3000)
    room.play(0.8, 40)
    assert room.utterances[0].reason == "ended"


def test_a_command_may_be_asked_for_again_without_a_wake_word() -> None:
    room = Room()
    assert not room.session.ask_again(0)
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.play(0.6, 3000)
    room.play(0.8, 40)
    assert room.session.speaking(1)
    assert room.session.ask_again(1)
    assert not room.session.done(1), "the old turn is over"
    assert room.openings[-1].again
    assert room.openings[-1].turn == 2
    assert room.openings[-1].first == room.index
    room.play(0.4, 3000)
    room.play(0.8, 40)
    assert [u.turn for u in room.utterances] == [1, 2]
    assert len(room.utterances[1].samples) == pytest.approx(1.1 * RATE, abs=0.05 * RATE)
    assert room.kinds().count("wake.heard") == 1


def test_an_announcement_takes_a_turn_only_while_nobody_is_listened_to() -> None:
    room = Room()
    turn = room.session.announce()
    assert turn == 1
    assert room.session.state == SPEAKING
    assert room.session.announce() is None
    room.play(0.1, 3000, Word("stop", "stop"))
    assert room.cut_short == [1]
    assert room.session.state == ASLEEP
    assert not room.session.done(1)


def test_nobody_waits_for_an_answer_for_ever() -> None:
    room = Room(limit=5.0)
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.play(0.6, 3000)
    room.play(5.6, 40)
    assert room.session.state == THINKING
    room.play(0.3, 40)
    assert room.session.state == ASLEEP
    assert room.cut_short == [1]
    assert "no answer came within 5 s" in room.events[-1].message
    assert not room.session.speaking(1)


def test_a_device_that_is_closed_in_the_middle_of_a_command_ends_it() -> None:
    room = Room()
    room.session.broken()
    assert room.kinds() == []
    room.play(2, 40)
    room.play(0.3, 3000, Word())
    room.session.broken()
    assert room.session.state == ASLEEP
    assert room.kinds() == ["wake.heard", "session.failed"]
    assert room.cut_short == [1]
