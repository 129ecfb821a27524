"""The Wyoming recogniser against a server made with the wyoming package itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from noctule.errors import InputError, UnavailableError
from noctule.wyoming_stt import WyomingRecogniser, load

load()  # first: it imports the package without its deprecation warning

from wyoming.asr import Transcribe, Transcript  # noqa: E402
from wyoming.audio import AudioChunk, AudioStop  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.server import AsyncEventHandler, AsyncServer  # noqa: E402

HEARD: dict[str, object] = {}


class Handler(AsyncEventHandler):
    async def handle_event(self, event: Event) -> bool:
        if Transcribe.is_type(event.type):
            HEARD["language"] = Transcribe.from_event(event).language
            HEARD["audio"] = b""
        elif AudioChunk.is_type(event.type):
            HEARD["audio"] += AudioChunk.from_event(event).audio  # type: ignore[operator]
        elif AudioStop.is_type(event.type):
            if HEARD.get("rude"):
                return False
            await self.write_event(Transcript(text=" turn on the lights \n").event())
        return True


@contextmanager
def server(path: Path) -> Iterator[str]:
    uri = f"unix://{path}"
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def main() -> None:
        serving = AsyncServer.from_uri(uri)
        await serving.start(Handler)
        ready.set()
        await stop.wait()
        await serving.stop()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(5)
    try:
        yield uri
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


def test_words_come_back_and_every_sample_went_out(tmp_path: Path) -> None:
    HEARD.clear()
    samples = np.arange(4000, dtype=np.int16)
    with server(tmp_path / "stt.sock") as uri:
        assert WyomingRecogniser(uri, "en").transcribe(samples) == "turn on the lights"
        assert HEARD["audio"] == samples.astype("<i2").tobytes()
        assert HEARD["language"] == "en"
        HEARD["rude"] = True
        with pytest.raises(UnavailableError, match="cannot be used"):
            WyomingRecogniser(uri).transcribe(samples)
    with pytest.raises(UnavailableError, match="cannot be used"):
        WyomingRecogniser(f"unix://{tmp_path}/absent").transcribe(samples)


def test_an_address_must_be_one() -> None:
    with pytest.raises(InputError, match="no Wyoming address"):
        WyomingRecogniser("http://x")
