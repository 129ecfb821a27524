"""Speech to text over Wyoming, as the wyoming package's own client asks for it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import moonshine_world as sounds
import numpy as np
import pytest
from app_world import World

from noctule.api.wyoming.server import WyomingServer
from noctule.app import Plugged
from noctule.service.component import Host

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # audioop, in Python 3.11 and 3.12
    from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.error import Error
    from wyoming.event import Event
    from wyoming.info import Describe, Info


class Home(World):
    """A service with the Wyoming server and the shipped recogniser."""

    def place(self, more: str = "") -> None:
        self.configure(
            f'models = ["{sounds.MODELS}"]\n[wyoming]\nlisten = "tcp://127.0.0.1:0"\n[wake]\nenabled = false\n{more}'
        )
        self.servers: list[WyomingServer] = []
        self.senses = self.make

    def make(self, host: Host) -> list[Plugged]:
        self.servers.append(WyomingServer(host))
        return [Plugged(self.servers[-1])]

    def wyoming(self) -> AsyncClient:
        return AsyncClient.from_uri(f"tcp://127.0.0.1:{self.servers[0].port}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    made = Home(tmp_path)
    made.place()
    yield made
    made.notify.close()


def serve(home: Home, script: Callable[[], None]) -> None:
    def whole() -> None:
        home.until("service.ready")
        script()

    assert home.run(whole).stuck == []


async def ask(
    client: AsyncClient, sound: np.ndarray, rate: int = 16000, channels: int = 1, **how: str
) -> list[Event]:
    """One request; every event up to transcript-stop or an error."""
    await client.write_event(Transcribe(**how).event())
    await client.write_event(AudioStart(rate=rate, width=2, channels=channels).event())
    data = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
    for at in range(0, len(data), 3000):
        await client.write_event(
            AudioChunk(rate=rate, width=2, channels=channels, audio=data[at : at + 3000]).event()
        )
    await client.write_event(AudioStop().event())
    events: list[Event] = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if TranscriptStop.is_type(event.type) or Error.is_type(event.type):
            break
    return events


def text_of(events: list[Event]) -> str:
    return next(Transcript.from_event(event).text for event in events if Transcript.is_type(event.type))


def test_home_assistant_is_told_of_it_and_gets_transcripts(home: Home) -> None:
    async def talk() -> None:
        async with home.wyoming() as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            assert [model.name for model in info.asr[0].models] == ["moonshine-tiny-en"]
            assert info.asr[0].models[0].languages == ["en"]
            assert info.asr[0].supports_transcript_streaming
            order = sounds.read(sounds.TIMER)
            events = await ask(client, order, language="en")
            assert text_of(events).endswith(sounds.TIMER_WORDS)
            # a client of protocol 1.10 gets the same in pieces, framed as the package's server examples do
            assert TranscriptStart.is_type(events[0].type)
            pieces = [
                TranscriptChunk.from_event(event).text for event in events if TranscriptChunk.is_type(event.type)
            ]
            assert "".join(pieces) == text_of(events)
            assert TranscriptStop.is_type(events[-1].type)
            # the same connection again: other rates, two channels, and nothing said
            assert "two minutes" in text_of(await ask(client, np.repeat(order, 6), 48000, 2))
            assert text_of(await ask(client, sounds.silence(3.0))) == ""
            assert text_of(await ask(client, sounds.silence(0.0))) == ""

    serve(home, lambda: asyncio.run(talk()))


def test_a_long_recording_comes_in_pieces_while_it_is_sent(home: Home) -> None:
    long = np.concatenate([piece for _ in range(7) for piece in (sounds.read(sounds.TIMER), sounds.silence(0.6))])

    async def talk() -> None:
        async with home.wyoming() as client:
            events = await ask(client, long)
            pieces = [
                TranscriptChunk.from_event(event).text for event in events if TranscriptChunk.is_type(event.type)
            ]
            assert len(pieces) >= 2
            assert text_of(events).lower().count("two minutes") == 7
            assert "".join(pieces) == text_of(events)

    serve(home, lambda: asyncio.run(talk()))


def test_mistakes_are_told_and_a_client_that_leaves_is_forgotten(home: Home) -> None:
    async def wrong(events: list[Event]) -> str:
        async with home.wyoming() as client:
            for event in events:
                await client.write_event(event)
            answer = await client.read_event()
            while answer is not None and not Error.is_type(answer.type):
                answer = await client.read_event()
            assert answer is not None
            return Error.from_event(answer).text

    async def talk() -> None:
        start = AudioStart(rate=16000, width=2, channels=1).event()
        assert "English" in await wrong([Transcribe(language="de").event()])
        assert "no recogniser" in await wrong([Transcribe(name="other").event()])
        assert "rate" in await wrong([Transcribe().event(), AudioStart(rate=5, width=2, channels=1).event()])
        assert "16 bit" in await wrong([Transcribe().event(), AudioStart(rate=16000, width=4, channels=1).event()])
        assert "before audio-start" in await wrong(
            [Transcribe().event(), AudioChunk(rate=16000, width=2, channels=1, audio=b"ab").event()]
        )
        assert "begun already" in await wrong([Transcribe().event(), start, start])
        async with home.wyoming() as client:  # leaves in the middle of its sound
            await client.write_event(Transcribe().event())
            await client.write_event(start)
        async with home.wyoming() as client:
            assert text_of(await ask(client, sounds.read(sounds.TIMER))).endswith(sounds.TIMER_WORDS)

    serve(home, lambda: asyncio.run(talk()))


def test_without_the_package_nothing_is_offered(home: Home) -> None:
    home.place('[speech]\nstt = "off"\n')

    async def talk() -> None:
        async with home.wyoming() as client:
            await client.write_event(Describe().event())
            assert not Info.from_event(await client.read_event()).asr
            events = await ask(client, sounds.silence(0.2))
            assert "speech.stt" in Error.from_event(events[-1]).text

    serve(home, lambda: asyncio.run(talk()))
