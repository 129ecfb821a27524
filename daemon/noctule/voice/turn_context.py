"""What a turn works with: its collaborators, and whoever runs it and whoever answers, as a turn sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from noctule.audio.ring import SoundRing
from noctule.core.clock import Clock
from noctule.core.events import Bus
from noctule.service.part import Part
from noctule.voice.session import Session
from noctule.voice.speech_worker import SpeechWorker
from noctule.voice.stt.base import Recogniser
from noctule.voice.transcript import Spoken
from noctule.voice.utterance import Utterance

#: the part's name, in events too.
NAME = "turns"
#: seconds of a wait for sound, and of a look at an answer on its way.
NAP = 0.05


class Answering(Protocol):
    """The language worker, seen from here."""

    def __call__(
        self, spoken: Spoken, emit: Callable[[str], None], cancelled: Callable[[], bool], beat: Callable[[], None]
    ) -> Mapping[str, Any]:
        """Answer a request, with `emit` for its pieces as they come; the mapping has "reply", which is empty when
        `spoken.settle` said no. Raises NoctuleError."""


class TurnHost(Protocol):
    """Whoever runs a turn, seen from there."""

    def ended(self, turn: int) -> Utterance | None:
        """The finished command of a turn, None while it is being spoken."""

    def over(self, turn: int) -> bool:
        """Whether a turn is over before its time."""

    def wait(self, seconds: float) -> None:
        """For more sound, or news, up to so many seconds."""


@dataclass(frozen=True)
class TurnContext:
    """What a turn works with. least: the confidence below which is asked again; part: the heart of its thread."""

    bus: Bus
    clock: Clock
    ring: SoundRing
    session: Session
    answer: Answering
    recogniser: Recogniser | None
    voice: SpeechWorker | None
    least: float
    part: Part
    host: TurnHost
