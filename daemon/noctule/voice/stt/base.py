"""Speech to text as a turn sees it: one command at a time, heard while it is being spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from noctule.audio.chunk import Pcm
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word


class Listening(Protocol):
    """One command being recognised. guess: the likeliest further words, which may be taken back; readings: after
    `finish`, what may have been said; both empty where there is one reading only."""

    @property
    def guess(self) -> Sequence[Word]: ...

    @property
    def readings(self) -> Sequence[Reading]: ...

    def feed(self, samples: Pcm) -> Sequence[Word | EndOfTurn]:
        """Int16 mono 16 kHz → what was completed by it. Raises NoctuleError."""

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        """What is still to come; quiet: seconds of silence at the end of what was fed. Raises NoctuleError."""

    def cancel(self) -> None:
        """Nobody wants the rest; may be called twice."""


@runtime_checkable
class Guided(Protocol):
    """A `Listening` that knows what can be asked. asked: after `finish`, the sentence that must be asked back before
    it is acted on, "" for none; silence: seconds of it that end the command now, None for as many as usual."""

    asked: str
    silence: float | None
    #: seconds of the sound, from its start, in which the end of the wake word may be; for whoever begins it to set.
    lead: float
    #: after `finish`: the free text, the sentences that were in the race, what was decided and by which numbers.
    weighed: Mapping[str, Any]


class Recogniser(Protocol):
    """Speech to text."""

    #: a command that is less sure is asked for again, 0 for never.
    confidence: float

    @property
    def name(self) -> str:
        """For `status`."""

    def begin(self) -> Listening:
        """A new command; the last one is over. Raises NoctuleError."""

    def close(self) -> None:
        """Free the model."""
