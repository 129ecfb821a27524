"""A command as the session cuts it out of the sound: where it begins, and the whole of it. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from noctule.audio.chunk import RATE, Pcm


@dataclass(frozen=True)
class Opening:
    """A command begins. word, phrase: what woke it; first: number of its first sample in the ring, with the
    pre-roll; woken: when the wake word was complete; again: it was not understood the first time; lead: seconds of
    sound from `first` to `woken`."""

    turn: int
    word: str
    phrase: str
    first: int
    woken: float
    again: bool = False
    lead: float = 0.0
    #: what was asked back: the sentence that a "yes" now stands for, "" where nothing was.
    question: str = ""


@dataclass(frozen=True)
class Utterance:
    """A finished command. samples: int16 mono 16 kHz with the pre-roll; times are monotonic seconds."""

    turn: int
    word: str
    samples: Pcm
    woken: float
    ended: float
    #: "ended" by silence, "end of turn" by the recogniser's own judgement, or "too long".
    reason: str
    #: when the last sound of speech was over; before `ended` by the silence that proved it.
    spoke: float = 0.0
    #: number of the sample in the ring that follows the command.
    last: int = 0

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE
