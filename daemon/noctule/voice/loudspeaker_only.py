"""A board with a loudspeaker and no ears: it says what it is told to, and rings for its timers.

The voice's model is loaded with the first text, not before: most boards without a microphone never speak.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from noctule.config import Config
from noctule.core.errors import NoctuleError, UnavailableError
from noctule.core.events import Event
from noctule.service.component import Host
from noctule.service.supervisor import Job
from noctule.voice.engines import SpeechEngines, loudspeaker
from noctule.voice.speech_handle import Synthesis, Synthesizer
from noctule.voice.speech_worker import SpeechWorker


class _Later:
    """A synthesizer that is made when the first text comes. See tts.base.Synthesizer."""

    def __init__(self, make: Callable[[], Synthesizer | None]) -> None:
        self._make = make
        self._made: Synthesizer | None = None

    @property
    def name(self) -> str:
        return self._made.name if self._made is not None else "not loaded yet"

    def begin(self) -> Synthesis:
        self._made = self._made or self._make()
        if self._made is None:
            raise UnavailableError("There is no voice here.", "speech.tts; noctule status says why")
        return self._made.begin()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


class LoudspeakerOnly:
    """See service.component.Component."""

    name = "speaker"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._engines = SpeechEngines(host.config, host.bus)
        speaker = loudspeaker(host.config())
        assert speaker is not None, "audio.output is off: there is nothing to build"
        self._voice = SpeechWorker(host.bus, host.clock, speaker, self._load)
        host.bus.add_sink(self._on_event)

    def _load(self) -> Synthesizer | None:
        off = self._host.config().speech.tts in ("off", "none", "")
        return None if off else _Later(self._engines.synthesizer)

    def say(self, text: str) -> Future[bool]:
        """Speak a text in the room; whether to its end. Raises InputError, BusyError, UnavailableError."""
        cleaned = self._host.clean(text)
        if not self._voice.speaks:
            raise UnavailableError("There is no voice here.", "speech.tts; noctule status says why")
        saying = self._voice.begin()
        saying.put(cleaned)
        saying.close()
        return saying.result

    def _on_event(self, event: Event) -> None:
        if event.kind not in ("timer.fired", "alarm.fired"):
            return
        with contextlib.suppress(NoctuleError):
            saying = self._voice.begin() if self._voice.speaks else self._voice.ring()
            saying.put(str(event.fields["reply"]) if self._voice.speaks else "")
            saying.close()

    # -- component -----------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        return [self._voice.job]

    def status(self) -> Mapping[str, Any]:
        return {"voice": self._voice.report(), "missing": dict(self._engines.troubles)}

    def apply(self, config: Config) -> None:
        self._voice.retry()

    def close(self) -> None:
        self._voice.stop()
