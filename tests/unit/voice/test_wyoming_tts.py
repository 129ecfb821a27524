"""The Wyoming voice against a server made with the wyoming package itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spoken_world import Room, Script, said

from noctule.audio.speaker import WavSpeaker
from noctule.audio.wavefile import WavReader
from noctule.cli import run_command
from noctule.core.errors import InputError, UnavailableError
from noctule.voice.stt.wyoming import load
from noctule.voice.tts.wyoming import WyomingSynthesis, WyomingSynthesizer
from waiting import wait_for

load()  # first: it imports the package without its deprecation warning

from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.server import AsyncEventHandler, AsyncServer  # noqa: E402
from wyoming.tts import Synthesize  # noqa: E402

RATE = 22_050


class Engine:
    """Each letter of a sentence is 10 ms of its code; behaves as `manner` says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.manner = ""
        self.channels = 1
        self.form = {"rate": RATE, "width": 2, "channels": 1}
        self.arrived = threading.Semaphore(0)
        self.left = threading.Semaphore(0)


class Handler(AsyncEventHandler):
    def __init__(self, engine: Engine, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.engine = engine

    async def handle_event(self, event: Event) -> bool:
        engine = self.engine
        if not Synthesize.is_type(event.type):
            return True
        wanted = Synthesize.from_event(event)
        engine.asked.append((wanted.text, wanted.voice.name if wanted.voice else None))
        engine.arrived.release()
        if engine.manner == "rude":
            return False
        if engine.manner == "mute":
            return True
        if engine.manner == "error":
            await self.write_event(Error(text="no such voice").event())
            return True
        width = 2
        rate = RATE if len(engine.asked) == 1 or engine.manner != "fickle" else 8000
        await self.write_event(AudioStart(rate=rate, width=width, channels=engine.channels).event())
        for letter in wanted.text if engine.manner != "odd" else "":
            pcm = np.full((RATE // 100) * engine.channels, ord(letter) * 100, "<i2").tobytes()
            await self.write_event(AudioChunk(rate=rate, width=width, channels=engine.channels, audio=pcm).event())
        if engine.manner == "odd":
            await self.tone(**engine.form)
        await self.write_event(AudioStop().event())
        return True

    async def tone(self, rate: int, width: int, channels: int) -> None:
        """Half a second of 440 Hz, in pieces that cut samples in two."""
        wave = np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate) * 0.5
        if width == 1:
            pcm = (wave * 127 + 128).astype(np.uint8)
        else:
            pcm = (wave * (2 ** (8 * width - 1) - 1)).astype(f"<i{width}")
        sound = np.repeat(pcm, channels).tobytes()
        for at in range(0, len(sound), 333):
            part = AudioChunk(rate=rate, width=width, channels=channels, audio=sound[at : at + 333])
            await self.write_event(part.event())

    async def disconnect(self) -> None:
        self.engine.left.release()


@contextmanager
def serving(path: Path) -> Iterator[tuple[str, Engine]]:
    uri, engine = f"unix://{path}", Engine()
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        server = AsyncServer.from_uri(uri)
        await server.start(lambda *arguments: Handler(engine, *arguments))
        ready.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(5)
    try:
        yield uri, engine
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


def sound_of(synthesis: WyomingSynthesis) -> np.ndarray:
    blocks = []
    while not synthesis.done:
        block = synthesis.step()
        if block is not None:
            blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def test_each_sentence_is_asked_for_as_soon_as_it_is_whole(tmp_path):
    with serving(tmp_path / "tts.sock") as (uri, engine):
        synthesis = WyomingSynthesizer(uri, "amy").begin()
        synthesis.more("It is no")
        assert synthesis.step() is None
        assert engine.asked == []
        synthesis.more("on. The ")
        blocks = [synthesis.step() for _ in range(3)]
        assert engine.asked == [("It is noon.", "amy")]
        synthesis.more("timer is set")
        synthesis.close()
        sound = np.concatenate([b for b in blocks if b is not None] + [sound_of(synthesis)])
        assert engine.asked == [("It is noon.", "amy"), ("The timer is set", "amy")]
        assert synthesis.rate == RATE
        letters = sound.reshape(-1, RATE // 100)[:, 0] * 32768 / 100
        assert "".join(chr(round(x)) for x in letters) == "It is noon.The timer is set"
        synthesis.cancel()
        synthesis.cancel()


def test_two_channels_are_averaged(tmp_path):
    with serving(tmp_path / "tts.sock") as (uri, engine):
        engine.channels = 2
        synthesis = WyomingSynthesizer(uri).begin()
        synthesis.more("ab")
        synthesis.close()
        assert sound_of(synthesis) == pytest.approx(np.repeat([9700 / 32768, 9800 / 32768], RATE // 100))
        assert engine.asked == [("ab", None)]
        synthesis.cancel()


@pytest.mark.parametrize(
    ("manner", "words"),
    [("rude", "closed the connection"), ("error", "says: no such voice"),
     ("mute", r"did not answer in 0\.2 s")],
)  # fmt: skip
def test_an_engine_that_misbehaves_is_one_sentence(tmp_path, manner, words):
    with serving(tmp_path / "tts.sock") as (uri, engine):
        engine.manner = manner
        synthesis = WyomingSynthesizer(uri, timeout=0.2).begin()
        synthesis.more("One. Two.")
        synthesis.close()
        with pytest.raises(UnavailableError, match=words):
            sound_of(synthesis)
        synthesis.cancel()


def test_no_engine_and_no_address_are_one_sentence(tmp_path):
    synthesis = WyomingSynthesizer(f"unix://{tmp_path}/absent").begin()
    synthesis.more("Hello.\n")
    with pytest.raises(UnavailableError, match="cannot be used"):
        synthesis.step()
    synthesis.cancel()
    with pytest.raises(InputError, match="no Wyoming address"):
        WyomingSynthesizer("http://x")


def test_a_turn_is_spoken_by_the_engine_and_an_interruption_leaves_it(tmp_path):
    script = Script()
    script.last = said("what time is it")
    with serving(tmp_path / "tts.sock") as (uri, engine):
        room = Room(script, WavSpeaker(tmp_path / "answers"), WyomingSynthesizer(uri))
        with room.running() as events:
            room.command()
            assert wait_for(events, "session.turn").fields["spoken"] is True
            assert engine.left.acquire(timeout=5)
            engine.manner = "mute"
            room.command()
            for _ in range(2):
                assert engine.arrived.acquire(timeout=5)
            room.command()
            wait_for(events, "session.interrupted")
            assert engine.left.acquire(timeout=5), "the engine sees that nobody wants the rest"
    assert engine.asked[0] == ("It is noon.", None)
    with WavReader(tmp_path / "answers" / "answer-1.wav") as wav:
        assert wav.format.sample_rate == RATE
        assert sum(map(len, wav.blocks())) == 11 * (RATE // 100)


def test_say_writes_what_the_engine_speaks(tmp_path, monkeypatch, capsys):
    config = tmp_path / "noctule.toml"
    monkeypatch.setenv("NOCTULE_CONFIG", str(config))
    with serving(tmp_path / "tts.sock") as (uri, engine):
        config.write_text(f'[speech]\ntts = "wyoming"\nwyoming_tts = "{uri}"\nvoice = "amy"\n')
        assert run_command(["say", "Hello there.", "-o", str(tmp_path / "out.wav")]) == 0
        assert engine.asked == [("Hello there.", "amy")]
        with WavReader(tmp_path / "out.wav") as wav:
            assert wav.format.sample_rate == RATE
            assert sum(map(len, wav.blocks())) == 12 * (RATE // 100)
        assert run_command(["say", " ", "-o", str(tmp_path / "none.wav")]) == 65
        assert "made no sound" in capsys.readouterr().err
        assert not (tmp_path / "none.wav").exists()


@pytest.mark.parametrize("form", [(22_050, 2, 1), (16_000, 2, 2), (48_000, 4, 1), (8_000, 1, 1)])
def test_pieces_of_any_length_are_the_right_sound(tmp_path, form):
    with serving(tmp_path / "tts.sock") as (uri, engine):
        engine.manner, engine.form = "odd", dict(zip(("rate", "width", "channels"), form, strict=True))
        synthesis = WyomingSynthesizer(uri).begin()
        synthesis.more("tone")
        synthesis.close()
        sound = sound_of(synthesis)
        synthesis.cancel()
    rate = form[0]
    assert synthesis.rate == rate
    assert len(sound) == rate // 2
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * rate / len(sound) == pytest.approx(440, abs=3)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_a_rate_that_changes_between_sentences_is_converted(tmp_path):
    with serving(tmp_path / "tts.sock") as (uri, engine):
        engine.manner = "fickle"
        synthesis = WyomingSynthesizer(uri).begin()
        synthesis.more("One. Two.")
        synthesis.close()
        sound = sound_of(synthesis)
        synthesis.cancel()
    assert synthesis.rate == RATE
    assert len(sound) > 4 * RATE // 100 * 2
