"""Speech to text for a Wyoming client: transcribe, audio-start, audio-chunk …, audio-stop. L4.

Sound is read while it comes. The answer is a `transcript`; around it, for clients of protocol 1.10 that show text as
it appears, `transcript-start`, a `transcript-chunk` for each window of a long recording, and `transcript-stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.api.wyoming.wire import WireMessage
from noctule.audio.chunk import RATE
from noctule.audio.resample import HIGHEST_RATE, LOWEST_RATE, Resampler
from noctule.core.errors import InputError, NoctuleError, TooLargeError
from noctule.voice.transcription import Transcriptions

Floats = NDArray[np.float32]
Send = Callable[[WireMessage], Awaitable[None]]
#: chunks that may wait to be read, and seconds of sound in one request
_WAITING, _LONGEST = 256, 3600.0


class Dictation:
    """One request. data: of the client's `transcribe`. Raises InputError for a language or model that is not here."""

    def __init__(self, transcriptions: Transcriptions, data: Any, send: Send) -> None:
        language, name = data.get("language"), data.get("name")
        if isinstance(language, str) and language and language.lower().partition("-")[0] != "en":
            raise InputError(f"The recogniser knows English only, not {language[:20]!r}.")
        if name not in (None, "", "noctule", transcriptions.name):
            raise InputError(f"There is no recogniser {str(name)[:60]!r} here.", f"there is {transcriptions.name}")
        self._transcriptions, self._send = transcriptions, send
        self._sound: queue.Queue[Floats | None] = queue.Queue(_WAITING)
        self._gone = threading.Event()
        self._work: asyncio.Task[str] | None = None
        self._resampler: Resampler | None = None
        self._channels, self._rest, self._seconds = 1, b"", 0.0

    def start(self, message: WireMessage) -> None:
        """audio-start: what the sound is like. Raises InputError."""
        if self._work is not None:
            raise InputError("The sound of this request has begun already.")
        rate, width, channels = (message.data.get(key) for key in ("rate", "width", "channels"))
        if not isinstance(rate, int) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InputError(f"The sound's rate must be {LOWEST_RATE} to {HIGHEST_RATE} Hz.")
        if width != 2 or channels not in (1, 2):
            raise InputError("Sound must be 16 bit, of one or two channels.")
        self._channels, self._resampler = channels, Resampler(rate, RATE)
        self._work = asyncio.ensure_future(self._write_down(asyncio.get_running_loop()))

    async def chunk(self, message: WireMessage) -> None:
        """audio-chunk. Raises InputError, and what writing down raises."""
        if self._resampler is None:
            raise InputError("Sound has come before audio-start.")
        sound = self._rest + message.payload
        whole = len(sound) // (2 * self._channels) * 2 * self._channels
        self._rest = sound[whole:]
        samples = np.frombuffer(sound[:whole], "<i2").astype(np.float32) / np.float32(32768)
        mono = self._resampler.push(samples.reshape(-1, self._channels).mean(axis=1, dtype=np.float32))
        self._seconds += len(mono) / RATE
        if self._seconds > _LONGEST:
            raise TooLargeError(f"A request holds at most {_LONGEST:g} s of sound.")
        await self._put(mono)

    async def stop(self) -> None:
        """audio-stop: answer. Raises NoctuleError."""
        if self._work is None or self._resampler is None:
            raise InputError("Sound has ended that had not begun.")
        await self._put(self._resampler.finish())
        await self._put(None)
        text = await self._work
        await self._send(WireMessage("transcript", {"text": text, "language": "en"}))
        await self._send(WireMessage("transcript-stop"))

    async def _put(self, block: Floats | None) -> None:
        """Wait until there is room, unless nobody reads any more."""
        assert self._work is not None
        while True:
            if self._work.done() and self._work.exception() is not None:
                await self._work
            try:
                return self._sound.put_nowait(block)
            except queue.Full:
                await asyncio.sleep(0.01)

    async def _write_down(self, loop: asyncio.AbstractEventLoop) -> str:
        await self._send(WireMessage("transcript-start", {"language": "en"}))
        return await asyncio.to_thread(self._run, loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> str:
        said: list[str] = []
        for words in self._transcriptions.of(self._blocks(), self._gone.is_set):
            text = " ".join(word.text for word in words)
            if text:
                chunk = WireMessage("transcript-chunk", {"text": (" " if said else "") + text})
                said.append(text)
                asyncio.run_coroutine_threadsafe(_told(self._send(chunk)), loop)
        return " ".join(said)

    def _blocks(self) -> Iterator[Floats]:
        while not self._gone.is_set():
            with contextlib.suppress(queue.Empty):
                block = self._sound.get(timeout=0.5)
                if block is None:
                    return
                yield block

    async def close(self) -> None:
        """Nobody wants the rest; may be called twice."""
        self._gone.set()
        if self._work is not None:
            with contextlib.suppress(NoctuleError, OSError):
                await self._work


async def _told(sending: Awaitable[None]) -> None:
    with contextlib.suppress(OSError):  # the connection's own reader notices that the client is gone
        await sending
