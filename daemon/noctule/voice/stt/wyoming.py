"""Speech to text by somebody else's recogniser, over the Wyoming protocol (rhasspy/wyoming). One thread.

Each command is one connection: transcribe, audio-start and audio-chunk… go out while it is being spoken, audio-stop
at its end, and a transcript comes back. Noctule's own model is the default; this is for owners of another engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from noctule.audio.chunk import RATE, Pcm
from noctule.core.errors import InputError, NoctuleError, UnavailableError
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.voice.stt.phantoms import RoomMeter, real_words

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


def in_words(error: Exception) -> str:
    """Why an engine cannot be used, without the text of a library."""
    code = getattr(error, "errno", None)
    if isinstance(error, OSError) and code:
        return {111: "nothing listens there", 2: "there is no such socket", 113: "it cannot be reached"}.get(
            code, os.strerror(code).lower() if code > 0 else "there is no such host"
        )
    if isinstance(error, KeyError):
        return f"its answer lacks {error}"
    return str(error) or "the connection broke"


class RefusedError(Exception):
    """The engine answered with an error; the text is its own."""


class WyomingListening:
    """See recogniser.Listening. Such an engine gives one reading."""

    guess: Sequence[Word] = ()
    readings: Sequence[Reading] = ()

    def __init__(self, uri: str, language: str, timeout: float) -> None:
        self._uri, self._timeout = uri, timeout
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._event: asyncio.Future[Any] | None = None
        self._room = RoomMeter()
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
        self._event = asyncio.ensure_future(client.read_event())
        await self._write(Transcribe(language=language or None).event())
        await self._write(AudioStart(rate=RATE, width=2, channels=1).event())

    def feed(self, samples: Pcm) -> Sequence[Word | EndOfTurn]:
        """Send what was heard; the words come all at once, at the end."""
        self._room.feed(samples)
        self._run(self._send(samples))
        return []

    async def _send(self, samples: Pcm) -> None:
        from wyoming.audio import AudioChunk

        for start in range(0, len(samples), BLOCK):
            audio = samples[start : start + BLOCK].astype("<i2").tobytes()
            await self._write(AudioChunk(rate=RATE, width=2, channels=1, audio=audio).event())

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        try:
            text = self._run(self._ask())
        finally:
            self.cancel()
        return [Word(word, 0.0, 0.0) for word in text.split()]  # it does not say when

    async def _ask(self) -> str:
        from wyoming.asr import Transcript
        from wyoming.audio import AudioStop

        await self._write(AudioStop().event())
        while (event := await self._next()) is not None:
            if Transcript.is_type(event.type):
                text = event.data.get("text")
                return real_words(text, self._room) if isinstance(text, str) else ""
        raise ConnectionError("it closed the connection without a transcript")

    async def _write(self, event: Any) -> None:
        """Send an event, once what came back meanwhile was seen: an engine that refuses says why before it leaves,
        and a write to one that has left loses what it said."""
        for _ in range(4):  # turns of the loop: it is read, wakes the reader, is taken apart
            await asyncio.sleep(0)
        self._refused()
        try:
            await self._client.write_event(event)
        except OSError:
            if self._event is not None:
                await asyncio.wait({self._event}, timeout=1.0)
            self._refused()
            raise

    async def _next(self) -> Any:
        """The next event, None at the end. Raises what the engine says is wrong."""
        assert self._event is not None
        await self._event
        self._refused()
        event, self._event = self._event.result(), asyncio.ensure_future(self._client.read_event())
        return event

    def _refused(self) -> None:
        """Raise the error that the engine has sent, if it has."""
        from wyoming.error import Error

        event = self._event
        if event is not None and event.done() and not event.cancelled() and event.exception() is None:
            found = event.result()
            if found is not None and Error.is_type(found.type):
                raise RefusedError(str(found.data.get("text") or found.data.get("code") or "no reason given"))

    def cancel(self) -> None:
        """Leave; may be called twice."""
        if self._loop.is_closed():
            return
        client, self._client = self._client, None
        if self._event is not None:
            self._event.cancel()
        with contextlib.suppress(NoctuleError):
            if client is not None:
                self._run(client.disconnect())
        self._loop.run_until_complete(asyncio.sleep(0))  # what was cancelled gets its turn to end
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, self._timeout))
        except (TimeoutError, asyncio.TimeoutError):
            raise UnavailableError(f"The recogniser at {self._uri} did not answer in {self._timeout:g} s.") from None
        except RefusedError as error:
            raise UnavailableError(f"The recogniser at {self._uri} says: {str(error).rstrip('.')}.") from None
        except (OSError, ValueError, KeyError) as error:
            raise UnavailableError(f"The recogniser at {self._uri} cannot be used: {in_words(error)}.") from None


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
