"""Text to speech by somebody else's engine, over the Wyoming protocol (rhasspy/wyoming). Used by one thread.

Each sentence is one request on one connection: synthesize goes out, audio-start, audio-chunk… and audio-stop come
back. A sentence is asked for as soon as it is whole: an answer is spoken while its rest is being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from noctule.audio.convert import PcmStream
from noctule.audio.resample import Resampler
from noctule.core.errors import InputError, UnavailableError
from noctule.voice.stt.wyoming import RefusedError, check_uri, in_words, load

Samples = NDArray[np.float32]
T = TypeVar("T")

#: seconds that one look for sound may take: between two looks the voice's thread beats and sees interruptions.
LOOK = 0.05
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n+")


class WyomingSynthesis:
    """See saying.Synthesis. timeout: seconds the engine may be silent."""

    def __init__(self, uri: str, voice: str, timeout: float) -> None:
        self._uri, self._voice, self._timeout = uri, voice, timeout
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._event: asyncio.Future[Any] | None = None
        self._rest = ""
        self._sentences: deque[str] = deque()
        self._complete = self._speaking = False
        self._waited = 0.0
        self._stream: PcmStream | None = None
        self.rate = 0

    @property
    def done(self) -> bool:
        return self._complete and not self._speaking and not self._sentences

    def more(self, text: str) -> None:
        *whole, self._rest = _SENTENCE.split(self._rest + text)
        self._sentences.extend(sentence for sentence in whole if sentence.strip())

    def close(self) -> None:
        self._complete = True
        if self._rest.strip():
            self._sentences.append(self._rest)
        self._rest = ""

    def step(self) -> Samples | None:
        try:
            if not self._speaking:
                if not self._sentences:
                    return None
                self._ask(self._sentences.popleft().strip())
            return self._listen()
        except RefusedError as error:
            raise self._error(f"says: {str(error).rstrip('.')}") from None
        except (asyncio.TimeoutError, TimeoutError):
            raise self._error(f"did not answer in {self._timeout:g} s") from None
        except (OSError, ValueError, KeyError) as error:
            raise self._error(f"cannot be used: {in_words(error)}") from None

    def cancel(self) -> None:
        """Leave: the engine sees the connection close."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if self._event is not None:
                self._event.cancel()
            if self._client is not None:
                self._run(self._client.disconnect())
        self._loop.run_until_complete(asyncio.sleep(0))  # what was cancelled gets its turn to end
        self._loop.close()

    def _error(self, what: str) -> UnavailableError:
        return UnavailableError(f"The voice at {self._uri} {what}.", "see speech.wyoming_tts")

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, self._timeout))

    def _ask(self, sentence: str) -> None:
        from wyoming.client import AsyncClient
        from wyoming.tts import Synthesize, SynthesizeVoice

        if self._client is None:
            client = AsyncClient.from_uri(self._uri)
            self._run(client.connect())
            self._client = client
        voice = SynthesizeVoice(name=self._voice) if self._voice else None
        self._run(self._client.write_event(Synthesize(text=sentence, voice=voice).event()))
        self._speaking, self._waited, self._stream = True, 0.0, None

    def _listen(self) -> Samples | None:
        """The next event, if it comes within `LOOK` seconds. A reading that takes longer goes on at the next look."""
        from wyoming.audio import AudioChunk, AudioStop
        from wyoming.error import Error

        if self._event is None:
            self._event = asyncio.ensure_future(self._client.read_event(), loop=self._loop)
        self._loop.run_until_complete(asyncio.wait({self._event}, timeout=LOOK))
        if not self._event.done():
            self._waited += LOOK
            if self._waited >= self._timeout:
                raise TimeoutError
            return None
        event, self._event, self._waited = self._event.result(), None, 0.0
        if event is None:
            raise ConnectionError("it closed the connection")
        if Error.is_type(event.type):
            raise RefusedError(str(event.data.get("text") or event.data.get("code") or "no reason given"))
        if AudioStop.is_type(event.type):
            self._speaking = False
        elif AudioChunk.is_type(event.type):
            return self._sound(AudioChunk.from_event(event))
        return None

    def _sound(self, chunk: Any) -> Samples:
        """PCM of any width, rate and channel count, cut anywhere → mono float32. Raises ValueError for anything else.

        A rate that changes between two sentences is converted to the first one's.
        """
        form = (chunk.rate, chunk.width, chunk.channels)
        if self._stream is None or (self._stream.rate, self._stream.width, self._stream.channels) != form:
            try:
                self._stream = PcmStream(*form)
                self.rate = self.rate or chunk.rate
                self._resampler = Resampler(chunk.rate, self.rate)
            except InputError as error:
                raise ValueError(error.message) from None
        return self._resampler.push(self._stream.push(chunk.audio))


class WyomingSynthesizer:
    """See saying.Synthesizer. uri: tcp://HOST:PORT or unix://PATH; voice: the name of one, "" for its own."""

    def __init__(self, uri: str, voice: str = "", timeout: float = 15.0) -> None:
        check_uri(uri)
        self.uri, self._voice, self._timeout = uri, voice, timeout

    @property
    def name(self) -> str:
        return self.uri

    def begin(self) -> WyomingSynthesis:
        load()
        return WyomingSynthesis(self.uri, self._voice, self._timeout)

    def close(self) -> None:
        """Nothing is kept between two texts."""
