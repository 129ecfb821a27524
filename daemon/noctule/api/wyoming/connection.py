"""One client of the Wyoming server.

Events are read one after the other; a request is answered in a task beside the reading, so that a client which goes
away ends it. What is malformed gets an `error` event and the end of its own connection, nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from noctule.api.ask import Control, converse
from noctule.api.wyoming.dictation import Dictation, Send
from noctule.api.wyoming.listening import WakeListening, before_detect
from noctule.api.wyoming.wire import MAX_LINE, WireMessage, read
from noctule.assistant.actions.declared import REFUSALS
from noctule.core.errors import BusyError, InputError, NoctuleError

#: requests of one connection that may wait for their answers.
WAITING = 8
#: seconds in which the next event must have arrived whole.
IDLE = 60.0
#: seconds a client may leave what it is sent unread.
WRITE_TIMEOUT = 30.0
#: seconds for which a client that was sent away may go on sending.
LINGER = 1.0
#: answers that say "not mine": Home Assistant may then ask somebody else.
_NOT_MINE = frozenset(
    REFUSALS[why] for why in ("unable", "knowledge", "devices", "media", "people", "writing", "timers", "unclear")
)


@dataclass(frozen=True)
class Offer:
    """What a connection can do. info: the answer to describe; listening: makes a detection, or raises; dictation:
    begins to write down what will be sent, or raises."""

    control: Control
    info: Callable[[], Mapping[str, Any]]
    listening: Callable[[], WakeListening]
    answered: Callable[[], None]
    dictation: Callable[[Mapping[str, Any], Send], Dictation]
    idle: float = IDLE


class Connection:
    """reader: made with wire.MAX_LINE as its limit."""

    def __init__(self, offer: Offer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._offer = offer
        self._reader, self._writer = reader, writer
        self._answers: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._listening: WakeListening | None = None
        self._dictation: Dictation | None = None
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the client leaves, misbehaves or is silent for too long."""
        try:
            while (message := await asyncio.wait_for(read(self._reader), self._offer.idle)) is not None:
                await self._take(message)
        except NoctuleError as error:
            with contextlib.suppress(OSError):
                await self._send(WireMessage("error", {"text": error.explain(), "code": error.code}))
                await self._linger()
        except (asyncio.TimeoutError, OSError):  # also "not connected", for one that is gone already
            pass
        finally:
            await self._end()

    async def _linger(self) -> None:
        """Read on what is under way: closing over unread bytes would reset the connection and lose the error."""

        async def discard() -> None:
            while await self._reader.read(MAX_LINE):
                pass

        if self._writer.can_write_eof():
            self._writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(discard(), LINGER)

    async def _end(self) -> None:
        answers = list(self._answers)
        for task in answers:
            task.cancel()
        if answers:
            await asyncio.wait(answers)
        if self._listening is not None:
            self._listening.close()
        if self._dictation is not None:
            await self._dictation.close()
        self._writer.close()

    async def _take(self, message: WireMessage) -> None:
        kind, data = message.type, message.data
        if kind == "describe":
            await self._send(WireMessage("info", self._offer.info()))
        elif kind == "ping":
            await self._send(WireMessage("pong", {"text": data.get("text")}))
        elif kind == "transcript":
            if len(self._answers) >= WAITING:
                raise BusyError(f"{WAITING} requests on this connection are not answered yet.")
            task = asyncio.ensure_future(self._handle(data))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        elif kind == "detect":
            self._listening = self._listening or self._offer.listening()
            await self._listening.detect(message)
        elif kind == "transcribe":
            if self._dictation is not None:
                await self._dictation.close()
            self._dictation = self._offer.dictation(data, self._send)
        elif self._dictation is not None and kind in ("audio-start", "audio-chunk", "audio-stop"):
            await self._write_down(self._dictation, message)
        elif self._listening is not None and kind in ("audio-start", "audio-chunk", "audio-stop"):
            await self._hear(self._listening, message)
        elif kind == "audio-chunk":
            raise before_detect()
        # Anything else is from a newer protocol, or for another kind of server: the protocol says to ignore it.

    async def _write_down(self, dictation: Dictation, message: WireMessage) -> None:
        if message.type == "audio-start":
            dictation.start(message)
        elif message.type == "audio-chunk":
            await dictation.chunk(message)
        else:
            self._dictation = None
            try:
                await dictation.stop()
                self._offer.answered()
            finally:
                await dictation.close()

    async def _hear(self, listening: WakeListening, message: WireMessage) -> None:
        if message.type == "audio-start":
            listening.start()
        elif message.type == "audio-chunk":
            for found in await listening.chunk(message):
                await self._send(found)
        elif not listening.heard:
            await self._send(WireMessage("not-detected"))

    async def _handle(self, data: Mapping[str, Any]) -> None:
        """Answer a request in words. What goes wrong is an answer too: Home Assistant says it aloud."""
        control, text = self._offer.control, data.get("text")
        context = {"context": data["context"]} if isinstance(data.get("context"), dict) else {}
        try:
            if not isinstance(text, str):
                raise InputError("A transcript must have a text.")
            async with self._turn:  # one after the other, in the order in which they came
                answer = await converse(control, control.clean(text), control.timeout(), None)
            assert answer is not None
            mine = bool(answer.get("ok", True)) and answer["reply"] not in _NOT_MINE
            reply = str(answer["reply"])
            self._offer.answered()
        except NoctuleError as error:
            mine, reply = False, error.message
        with contextlib.suppress(OSError):
            await self._send(WireMessage("handled" if mine else "not-handled", {"text": reply, **context}))

    async def _send(self, message: WireMessage) -> None:
        async with self._sending:
            self._writer.write(message.encode())
            try:
                await asyncio.wait_for(self._writer.drain(), WRITE_TIMEOUT)
            except asyncio.TimeoutError:
                self._writer.transport.abort()
                raise ConnectionResetError("the client does not read") from None
