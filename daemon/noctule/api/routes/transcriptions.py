"""POST /v1/audio/transcriptions, as OpenAI's clients know it. L4. docs/api.md has the details.

A form: file (WAV of any rate), model, response_format (json, text, verbose_json, srt, vtt), language, stream,
timestamp_granularities[]. Words come from speech.stt's package.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from noctule.api.http.json import Stream, compact
from noctule.api.routes.openai import ALIAS, NoSuchModelError
from noctule.api.routes.openai_messages import ParameterError
from noctule.api.routes.upload import Form, read_form
from noctule.audio.chunk import RATE
from noctule.audio.wavefile import WavReader
from noctule.core.errors import InputError, NoctuleError
from noctule.lm.speech.words import Word
from noctule.voice.subtitles import Segment, segments, srt, vtt
from noctule.voice.transcription import Transcriptions

PATH = "/v1/audio/transcriptions"
FORMATS = ("json", "text", "verbose_json", "srt", "vtt")
#: what clients call the recogniser they know
_OTHERS = ("whisper-1", ALIAS, "")
_GRANULARITIES = ("word", "segment")
_KNOWN = frozenset(
    {"model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]", "stream",
     "include[]", "chunking_strategy"}
)  # fmt: skip


def routes(transcriptions: Transcriptions, largest: Callable[[], int]) -> list[web.RouteDef]:
    """Bound to one recogniser. largest: bytes of a file."""

    async def transcribe(request: web.Request) -> web.StreamResponse:
        with tempfile.TemporaryDirectory(prefix="noctule-") as folder:
            form = await read_form(request, Path(folder), largest())
            wanted = _Wanted(form, transcriptions.name)
            work = _Work(transcriptions, wanted)
            try:
                if wanted.stream:
                    return await _Deltas(request).all(work.windows())
                words = [word async for window in work.windows() for word in window]
            finally:
                work.cancel()
            return _answer(wanted.format, wanted.granularities, words, work.seconds)

    return [web.post(PATH, transcribe)]


class _Wanted:
    """What a form asks for. Raises InputError naming the first mistake."""

    def __init__(self, form: Form, loaded: str) -> None:
        if form.file is None:
            raise ParameterError("file", "The form has no file.", "send a recording as the field file")
        self.file, self.name = form.file, form.name
        for key in form.fields:
            if key not in _KNOWN:
                raise ParameterError(key[:60], f"Unknown parameter {key[:60]!r}.")
        if (model := form.one("model")) not in (*_OTHERS, loaded):
            raise NoSuchModelError(model, loaded)
        self.format = form.one("response_format", "json")
        if self.format not in FORMATS:
            raise ParameterError("response_format", f"response_format is one of {', '.join(FORMATS)}.")
        language = form.one("language", "en").lower()
        if language.partition("-")[0] not in ("en", "english"):
            raise ParameterError("language", f"The recogniser knows English only, not {language[:20]!r}.")
        self.granularities = tuple(form.fields.get("timestamp_granularities[]", ()))
        if not set(self.granularities) <= set(_GRANULARITIES):
            raise ParameterError("timestamp_granularities", 'timestamp_granularities holds "word" and "segment".')
        self.stream = form.one("stream", "false").lower() == "true"


class _Work:
    """A recording being written down in a thread, its windows passed to the event loop as they come."""

    def __init__(self, transcriptions: Transcriptions, wanted: _Wanted) -> None:
        self._transcriptions, self._wanted = transcriptions, wanted
        self._gone = threading.Event()
        self.seconds = 0.0

    def cancel(self) -> None:
        """Nobody wants the rest."""
        self._gone.set()

    async def windows(self) -> AsyncIterator[list[Word]]:
        """Raises NoctuleError."""
        found: queue.SimpleQueue[list[Word] | None] = queue.SimpleQueue()  # a few windows a second at most
        work = asyncio.ensure_future(asyncio.to_thread(self._run, found))
        try:
            while (window := await asyncio.to_thread(found.get)) is not None:
                yield window
            await work
        finally:
            self._gone.set()
            with contextlib.suppress(NoctuleError):
                await asyncio.shield(work)

    def _run(self, found: queue.SimpleQueue[list[Word] | None]) -> None:
        file, name = self._wanted.file, self._wanted.name
        try:
            with WavReader(file) as wav:
                for window in self._transcriptions.of(self._counted(wav), self._gone.is_set):
                    found.put(window)
        except InputError as error:
            # the sender knows the file by another name
            shown = "".join(char if char.isprintable() else "?" for char in name)
            raise InputError(error.message.replace(str(file), shown), error.hint) from None
        finally:
            found.put(None)

    def _counted(self, wav: WavReader) -> Any:
        for block in wav.at_rate(RATE, RATE // 10):
            self.seconds += len(block) / RATE
            yield block


def _answer(form: str, granularities: Sequence[str], words: list[Word], seconds: float) -> web.Response:
    text = " ".join(word.text for word in words)
    if form == "json":
        return web.json_response({"text": text, "usage": {"type": "duration", "seconds": round(seconds)}})
    if form == "text":
        return web.Response(text=text + "\n")
    found = list(segments(words))
    if form == "srt":
        return web.Response(text=srt(found), content_type="application/x-subrip", charset="utf-8")
    if form == "vtt":
        return web.Response(text=vtt(found), content_type="text/vtt", charset="utf-8")
    wanted = granularities or ("segment",)
    body: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": round(seconds, 2), "text": text}
    if "segment" in wanted:
        body["segments"] = [_segment(i, segment) for i, segment in enumerate(found)]
    if "word" in wanted:
        body["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in words
        ]
    body["usage"] = {"type": "duration", "seconds": round(seconds)}
    return web.json_response(body)


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    sure = segment.log_probability
    facts = {"id": number, "start": round(segment.start, 3), "end": round(segment.end, 3), "text": segment.text}
    return facts | ({} if sure is None else {"avg_logprob": round(sure, 4)})


class _Deltas(Stream):
    """A streamed answer: an event for each window, then the whole text."""

    content_type = "text/event-stream"

    async def all(self, windows: AsyncIterator[list[Word]]) -> web.StreamResponse:
        said: list[str] = []
        async for window in windows:
            text = " ".join(word.text for word in window)
            if text:
                await self._event({"type": "transcript.text.delta", "delta": (" " if said else "") + text})
                said.append(text)
        await self._event({"type": "transcript.text.done", "text": " ".join(said)})
        await self.write(b"data: [DONE]\n\n")
        return await self.end()

    async def _event(self, value: dict[str, Any]) -> None:
        await self.write(b"data: " + compact(value) + b"\n\n")
