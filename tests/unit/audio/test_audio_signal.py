"""Ring, health, end of speech and loudspeaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_pyaudio import Card
from hypothesis import given
from hypothesis import strategies as st

from noctule.audio.chunk import HOP, RATE, Chunk
from noctule.audio.endpointing import (
    ENDED,
    NOTHING,
    SPEAKING,
    TOO_LONG,
    WAITING,
    Endpointer,
    EndpointSettings,
    frame_db,
)
from noctule.audio.health import CLIPPING, DEAD, LOSING, OK, SILENT, WRONG_RATE, HealthMeter
from noctule.audio.ring import SoundRing
from noctule.audio.speaker import PortAudioSpeaker, WavSpeaker
from noctule.audio.wavefile import WavReader
from noctule.core.errors import BusyError, DeviceError

RNG = np.random.default_rng(3)


def noise(seconds: float, level: float) -> np.ndarray:
    return (RNG.standard_normal(int(seconds * RATE)) * level).clip(-32768, 32767).astype(np.int16)


# ---- ring


@given(st.lists(st.integers(1, 900), max_size=30), st.integers(0, 4000), st.integers(0, 4000))
def test_the_ring_gives_back_exactly_what_it_still_has(lengths: list[int], first: int, last: int) -> None:
    ring = SoundRing(1000 / RATE)
    whole = (np.arange(sum(lengths)) % 30000).astype(np.int16)
    at = 0
    for n in lengths:
        ring.write(Chunk(whole[at : at + n], 0.0, at))
        at += n
    assert ring.end == len(whole)
    samples, lost = ring.read(first, last)
    begin, end = max(first, len(whole) - 1000), min(last, len(whole))
    expected = whole[begin:end] if begin < end else whole[:0]
    assert np.array_equal(samples, expected)
    assert len(samples) + lost == max(0, end - first)


def test_lost_samples_are_never_spliced_and_clearing_forgets() -> None:
    ring = SoundRing(1)
    ring.write(Chunk(np.full(HOP, 1, np.int16), 0, 0))
    ring.write(Chunk(np.full(HOP, 2, np.int16), 0, 10 * HOP))
    samples, lost = ring.read(0)
    assert samples.tolist() == [2] * HOP
    assert lost == 10 * HOP
    ring.clear()
    assert len(ring.read(0)[0]) == 0


# ---- health


def judged(samples: np.ndarray, rate: float = RATE) -> HealthMeter:
    meter = HealthMeter()
    for i in range(0, len(samples) - HOP + 1, HOP):
        meter.feed(Chunk(samples[i : i + HOP], 100 + i / rate, i))
    return meter


def test_the_four_ways_of_not_hearing_are_told_apart() -> None:
    room = noise(3, 300)
    now = 100 + 3.0
    for samples, rate, state in [
        (room, RATE, OK),
        (np.zeros_like(room), RATE, SILENT),
        (noise(3, 20000), RATE, CLIPPING),
        (room, RATE * 1.5, WRONG_RATE),
    ]:
        meter = judged(samples, rate)
        assert meter.latest is not None
        assert meter.latest.state == state
        assert meter.state(100 + len(samples) / rate) == state
        assert bool(meter.latest.remedy) == (state != OK)
    meter = judged(room)
    assert meter.state(now + 5) == DEAD
    assert meter.latest is not None
    assert meter.latest.level_db == pytest.approx(20 * np.log10(300 / 32768), abs=0.2)
    assert meter.latest.rate == pytest.approx(RATE, rel=0.02)
    meter.restart()
    assert meter.state(now + 500) == OK


def test_lost_blocks_are_told_from_a_wrong_rate() -> None:
    for each, state in ((4, LOSING), (40, OK)):
        meter, room = HealthMeter(), noise(3, 300)
        for number, i in enumerate(range(0, len(room) - HOP + 1, HOP)):
            if number % each:  # every so many-th block is lost
                meter.feed(Chunk(room[i : i + HOP], 100 + i / RATE, i))
        assert meter.latest is not None
        assert meter.latest.state == state
        assert meter.latest.rate == pytest.approx(RATE, rel=0.03)
        assert meter.latest.lost == pytest.approx(1 / each, rel=0.1)


# ---- end of speech


def run(endpointer: Endpointer, *parts: np.ndarray) -> list[str]:
    return [endpointer.feed(part) for part in parts]


def test_a_command_begins_with_speech_and_ends_with_silence() -> None:
    endpointer = Endpointer()
    endpointer.observe(noise(1.5, 60))
    assert run(endpointer, noise(0.3, 60), noise(1.0, 3000), noise(0.4, 60), noise(0.5, 3000)) == [
        WAITING,
        SPEAKING,
        SPEAKING,
        SPEAKING,
    ]
    assert endpointer.feed(noise(0.6, 60)) == SPEAKING
    assert endpointer.feed(noise(0.2, 60)) == ENDED
    assert endpointer.speech_end == pytest.approx(2.2, abs=0.03)
    assert endpointer.feed(noise(1, 3000)) == ENDED, "it stays ended until the next begin"
    endpointer.begin()
    assert endpointer.state == WAITING


@pytest.mark.parametrize("level", [0, 5, 60, 1000])
def test_silence_and_steady_noise_are_not_speech(level: int) -> None:
    endpointer = Endpointer()
    endpointer.observe(noise(2, level))
    assert endpointer.feed(noise(5, level)) == NOTHING


def test_a_click_is_not_a_word_and_a_monologue_has_an_end() -> None:
    endpointer = Endpointer(EndpointSettings(longest=3))
    endpointer.observe(noise(2, 60))
    for _ in range(4):
        assert run(endpointer, noise(0.03, 9000), noise(0.4, 60))[-1] == WAITING
    endpointer.begin()
    syllables = [noise(0.15, 4000), noise(0.05, 60)] * 20
    assert run(endpointer, *syllables)[-1] == TOO_LONG


def test_the_floor_rises_with_the_room() -> None:
    endpointer = Endpointer()
    endpointer.observe(noise(3, 30))
    quiet = endpointer.floor
    endpointer.observe(noise(3, 1000))
    assert endpointer.floor > quiet + 20
    assert frame_db(np.full(HOP, 5000, np.int16)) == [-120.0], "a constant offset is no sound"
    assert Endpointer().floor == -90.0


# ---- loudspeaker

SPEAKER = [("Speaker", "ALSA", 0, 2, 48000)]


def test_what_is_written_is_played_in_order_and_then_silence() -> None:
    card = Card(SPEAKER, rates=(24000,))
    speaker = PortAudioSpeaker(module=card)
    speaker.start(24000)
    assert speaker.name == "Speaker"
    said = np.linspace(-1, 1, 700, dtype=np.float32)
    speaker.write(said[:100])
    speaker.write(said[100:])
    assert speaker.ahead() == pytest.approx(700 / 24000)
    first = card.streams[0].pull()
    assert not speaker.played(0)
    speaker.finish()
    played = first[0]
    while (pulled := card.streams[0].pull())[1] == Card.paContinue:
        played += pulled[0]
    heard = np.frombuffer(played + pulled[0], np.int16)
    expected = np.rint(said * 32767).astype(np.int16)
    assert np.array_equal(heard[:700], expected)
    assert not heard[700:].any()
    assert speaker.played(0)
    assert speaker.underruns == 0
    speaker.close()
    assert card.streams[0].closed
    assert card.sessions == 0


def test_stopping_silences_at_once_and_drops_what_was_queued() -> None:
    card = Card(SPEAKER)
    speaker = PortAudioSpeaker("speak", module=card)
    speaker.start(16000)
    speaker.write(np.ones(16000, np.float32))
    stream = card.streams[0]
    assert any(stream.pull()[0])
    speaker.stop()
    assert not stream.closed, "the one who stops is the thread that hears: it closes no device"
    assert not any(stream.pull()[0])
    speaker.write(np.ones(16000, np.float32))
    assert speaker.ahead() == 0
    assert speaker.played(0)
    speaker.start(16000)
    assert stream.closed
    with pytest.raises(BusyError):
        speaker.write(np.ones(16000 * 11, np.float32))
    card.streams[1].pull()
    assert speaker.underruns == 1, "nothing was there to be played in the middle of an utterance"
    card.rates = (8000,)
    with pytest.raises(DeviceError, match="does not open at 16000, 48000, 44100 Hz"):
        speaker.start(16000)


def test_answers_become_files_whole_or_not_at_all(tmp_path: Path) -> None:
    speaker = WavSpeaker(tmp_path / "answers")
    for level in (0.25, 0.5):
        speaker.start(16000)
        speaker.write(np.full(800, level, np.float32))
        assert speaker.ahead() == 0
        speaker.finish()
        assert speaker.played(0)
    speaker.start(16000)
    speaker.write(np.ones(10, np.float32))
    speaker.stop()
    speaker.write(np.ones(10, np.float32))
    speaker.finish()
    speaker.close()
    assert sorted(p.name for p in (tmp_path / "answers").iterdir()) == ["answer-1.wav", "answer-2.wav"]
    assert speaker.latest == tmp_path / "answers" / "answer-2.wav"
    with WavReader(speaker.latest) as reader:
        assert np.concatenate(list(reader.blocks())) == pytest.approx(np.full(800, 0.5), abs=1e-4)


def test_answers_of_an_earlier_run_stay(tmp_path: Path) -> None:
    for number, level in ((1, 0.25), (2, 0.5)):
        speaker = WavSpeaker(tmp_path)  # the service was started again
        speaker.start(16000)
        speaker.write(np.full(80, level, np.float32))
        speaker.finish()
        assert speaker.latest == tmp_path / f"answer-{number}.wav"
    with WavReader(tmp_path / "answer-1.wav") as reader:
        assert np.concatenate(list(reader.blocks())) == pytest.approx(np.full(80, 0.25), abs=1e-4)
