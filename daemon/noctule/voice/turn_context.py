"""What a turn needs of whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from noctule.audio.ring import SoundRing
from noctule.core.clock import Clock
from noctule.core.events import Bus
from noctule.voice.session import Session, Utterance
from noctule.voice.speech_worker import SpeechWorker
from noctule.voice.stt.base import Recogniser
from noctule.voice.transcript import Spoken


class Answering(Protocol):
    """The language worker, seen from here."""

    def __call__(
        self, spoken: Spoken, emit: Callable[[str], None], cancelled: Callable[[], bool], beat: Callable[[], None]
    ) -> Mapping[str, Any]:
        """Answer a request, with `emit` for its pieces as they come; the mapping has "reply", which is empty when
        `spoken.settle` said no. Raises NoctuleError."""


@dataclass(frozen=True)
class TurnContext:
    """What a turn needs of whoever runs it. ended: the finished command of a turn, None while it is being spoken;
    interrupted: whether a turn is over before its time; wait: for more sound, or news, up to so many seconds."""

    bus: Bus
    clock: Clock
    ring: SoundRing
    session: Session
    answer: Answering
    recogniser: Recogniser | None
    voice: SpeechWorker | None
    least: float
    beat: Callable[[], None]
    expect: Callable[[float], None]
    ended: Callable[[int], Utterance | None]
    interrupted: Callable[[int], bool]
    wait: Callable[[float], None]
