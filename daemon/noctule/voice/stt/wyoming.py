"""Speech to text by somebody else's recogniser, over the Wyoming protocol (rhasspy/wyoming). One thread.

Each command is one connection: transcribe, audio-start and audio-chunk… go out while it is being spoken, audio-stop
at its end, and a transcript comes back. Noctule's own model is the default; this is for owners of another engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from noctule.audio.chunk import RATE, Pcm
from noctule.core.errors import InputError, NoctuleError, UnavailableError
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word

T = TypeVar("T")

#: samples in one audio-chunk event: 100 ms.
BLOCK = RATE // 10


def check_uri(uri: str) -> None:
    """Refuse an address the protocol cannot use. Raises InputError."""
    if not uri.startswith(("tcp://", "unix://")):
        raise InputError(f'"{uri}" is no Wyoming address.', "write tcp://HOST:PORT or unix:///path/of/socket")


def load() -> None:
    """Import the wyoming package. Raises UnavailableError where the extra "voice" is not installed."""
    try:
        with warnings.catch_warnings():
            # It imports audioop, which Python 3.11 and 3.12 complain about; nothing here uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            import wyoming.audio
    except ImportError:
        raise UnavailableError("The wyoming package is not installed.", "pip install noctule[voice]") from None
    assert wyoming.audio


class WyomingListening:
    """See recogniser.Listening. Such an engine gives one reading."""

    guess: Sequence[Word] = ()
    readings: Sequence[Reading] = ()

    def __init__(self, uri: str, language: str, timeout: float) -> None:
        self._uri, self._timeout = uri, timeout
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        try:
            self._run(self._open(language))
        except BaseException:
            self.cancel()
            raise

    async def _open(self, language: str) -> None:
        from wyoming.asr import Transcribe
        from wyoming.audio import AudioStart
        from wyoming.client import AsyncClient

        client = AsyncClient.from_uri(self._uri)
        await client.connect()
        self._client = client
        await client.write_event(Transcribe(language=language or None).event())
        await client.write_event(AudioStart(rate=RATE, width=2, channels=1).event())

    def feed(self, samples: Pcm) -> Sequence[Word | EndOfTurn]:
        """Send what was heard; the words come all at once, at the end."""
        self._run(self._send(samples))
        return []

    async def _send(self, samples: Pcm) -> None:
        from wyoming.audio import AudioChunk

        for start in range(0, len(samples), BLOCK):
            audio = samples[start : start + BLOCK].astype("<i2").tobytes()
            await self._client.write_event(AudioChunk(rate=RATE, width=2, channels=1, audio=audio).event())

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        try:
            text = self._run(self._ask())
        finally:
            self.cancel()
        return [Word(word, 0.0, 0.0) for word in text.split()]  # it does not say when

    async def _ask(self) -> str:
        from wyoming.asr import Transcript
        from wyoming.audio import AudioStop

        await self._client.write_event(AudioStop().event())
        while (event := await self._client.read_event()) is not None:
            if Transcript.is_type(event.type):
                return str(Transcript.from_event(event).text).strip()
        raise ConnectionError("it closed the connection without a transcript")

    def cancel(self) -> None:
        """Leave; may be called twice."""
        if self._loop.is_closed():
            return
        client, self._client = self._client, None
        with contextlib.suppress(NoctuleError):
            if client is not None:
                self._run(client.disconnect())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, self._timeout))
        except (TimeoutError, asyncio.TimeoutError):
            raise UnavailableError(f"The recogniser at {self._uri} did not answer in {self._timeout:g} s.") from None
        except (OSError, ValueError, KeyError) as error:
            raise UnavailableError(f"The recogniser at {self._uri} cannot be used: {error}.") from None


class WyomingRecogniser:
    """See recogniser.py. uri: tcp://HOST:PORT or unix://PATH; language: "en", or "" to let the engine choose."""

    #: it does not say how sure it is
    confidence = 0.0

    def __init__(self, uri: str, language: str = "", timeout: float = 15.0) -> None:
        check_uri(uri)
        self.uri, self._language, self._timeout = uri, language, timeout

    @property
    def name(self) -> str:
        return self.uri

    def begin(self) -> WyomingListening:
        """Raises UnavailableError."""
        load()
        return WyomingListening(self.uri, self._language, self._timeout)

    def close(self) -> None:
        """Nothing is kept between two commands."""
