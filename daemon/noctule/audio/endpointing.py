"""When a spoken command begins and ends. Energy against a tracked noise floor, in 10 ms frames.

The floor follows the quietest frames of the last seconds (minimum statistics, after Martin, "Noise power spectral
density estimation based on optimal smoothing and minimum statistics", 2001, reduced to one band). A frame is speech
when it stands `margin` dB above the floor. A neural detector costs 18 ms of CPU for a second of sound (FACTS §5) and
is not needed for this question: the wake word has already said that somebody speaks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from noctule.audio.chunk import HOP, Pcm

WAITING = "waiting"
SPEAKING = "speaking"
ENDED = "ended"
NOTHING = "nothing"
TOO_LONG = "too long"


@dataclass(frozen=True)
class EndpointSettings:
    """Seconds, and decibels above the noise floor."""

    #: silence that ends a command.
    silence: float = 0.7
    #: how long to wait for the first word.
    patience: float = 4.0
    #: longest command.
    longest: float = 12.0
    #: shortest sound that counts as speech.
    shortest: float = 0.08
    margin: float = 9.0


class Endpointer:
    """Feed it the sound that follows the wake word; `state` says what it is.

    waiting -> speaking -> ended, or nothing (nobody spoke) or too long. `observe` keeps the floor current while
    nobody is being listened to; `begin` starts a new command.
    """

    #: share of frames that even a steady talker leaves to the room.
    QUANTILE = 0.1
    #: 10 ms frames over which the quietest are sought.
    MEMORY = 300

    def __init__(self, settings: EndpointSettings | None = None) -> None:
        self.settings = settings or EndpointSettings()
        self._recent: deque[float] = deque(maxlen=self.MEMORY)
        self.begin()

    def begin(self, settle: float = 0.0) -> None:
        """Listen for a new command. The noise floor is kept.

        settle: seconds in which what is heard may be the end of the wake word: it begins no command by itself.
        """
        self.state = WAITING
        self._settle = settle
        self._elapsed = self._voiced = self._quiet = 0.0
        #: seconds from `begin` to the end of the last speech frame.
        self.speech_end = 0.0
        #: silence that ends this command, instead of the settings'.
        self.silence: float | None = None

    @property
    def floor(self) -> float:
        """The noise floor in dB full scale: a low quantile, for the very minimum may be a hole of digital silence."""
        if not self._recent:
            return -90.0
        return sorted(self._recent)[int(len(self._recent) * self.QUANTILE)]

    def observe(self, samples: Pcm) -> None:
        """Learn the floor from sound outside a command."""
        self._recent.extend(frame_db(samples))

    def feed(self, samples: Pcm) -> str:
        """Judge sound of a command; the state after it."""
        for level in frame_db(samples):
            if self.state in (WAITING, SPEAKING):
                self._step(level)
        return self.state

    def _step(self, level: float) -> None:
        step, s = HOP / 16_000, self.settings
        self._recent.append(level)
        self._elapsed += step
        # Below -75 dB there is no room tone to compare with, only digital silence and its dither.
        if level > max(self.floor + s.margin, -75.0 + s.margin):
            self._voiced += step
            self._quiet = 0.0
            self.speech_end = self._elapsed
            if self.state == WAITING and self._voiced >= s.shortest and self._elapsed > self._settle:
                self.state = SPEAKING
        else:
            self._quiet += step
            if self.state == WAITING and self._quiet > 0.3:
                self._voiced = 0.0  # a click, not a word
        if self.state == SPEAKING and self._quiet >= (s.silence if self.silence is None else self.silence):
            self.state = ENDED
        elif self.state == WAITING and self._elapsed >= s.patience:
            self.state = NOTHING
        elif self._elapsed >= s.longest:
            self.state = TOO_LONG


def frame_db(samples: Pcm) -> list[float]:
    """RMS of each 10 ms frame in dB full scale, its mean removed; a rest shorter than a frame is dropped."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP).astype(np.float64)
    power = frames.var(axis=1) / 32768.0**2
    return [float(x) for x in 10 * np.log10(np.maximum(power, 1e-12))]
