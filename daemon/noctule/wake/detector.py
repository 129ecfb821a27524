"""The detector: any number of wake words over one stream of 16 kHz PCM.

For each word the scores of the last `window` inferences are averaged; above the word's threshold it is heard. A
stream that has just started (or was reset) cannot trigger for its first seconds: the noise estimate and the
receptive field still fill, and every cold start would fire falsely at about 0.7 s (FACTS §5). After a detection
the word is deaf for its refractory time. This file knows nothing of microphones, threads or events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError
from noctule.wake.features import CHANNELS, HOP, SAMPLE_RATE, FrontEnd
from noctule.wake.model import WakeModel
from noctule.wake.package import WakePackage, distinct


@dataclass(frozen=True)
class Detection:
    """A word was heard."""

    #: the package's id and its phrase.
    word: str
    phrase: str
    #: mean score that passed the threshold, 0 … 1.
    score: float
    threshold: float
    #: seconds of audio since the last reset, at the end of the frame that decided.
    time: float


class _Word:
    """One word's model, score window and clock."""

    def __init__(self, package: WakePackage) -> None:
        self.package = package
        self.threshold = package.threshold
        self.model = WakeModel(package.model)
        self.scores: deque[float] = deque(maxlen=package.window)
        self.pending: list[NDArray[np.int8]] = []
        self.deaf_until = package.warm_up

    def reset(self) -> None:
        self.model.reset()
        self.scores.clear()
        self.pending.clear()
        self.deaf_until = self.package.warm_up

    def hole(self, now: float) -> None:
        self.scores.clear()
        self.deaf_until = max(self.deaf_until, now + self.package.warm_up)

    def mean(self) -> float:
        """Mean of the full window; 0 until it is full."""
        if len(self.scores) < self.package.window:
            return 0.0
        return sum(self.scores) / self.package.window

    def take(self, frame: NDArray[np.int8]) -> float | None:
        """Feed one frame; the mean score when this frame completed an inference."""
        self.pending.append(frame)
        if len(self.pending) < self.model.stride:
            return None
        self.scores.append(self.model.score(np.stack(self.pending)))
        self.pending.clear()
        return self.mean()


class Detector:
    """Several words at once; one instance for one stream and thread (`set_threshold` may come from any)."""

    def __init__(
        self, packages: Sequence[WakePackage], *, trace: Callable[[str, float, float], None] | None = None
    ) -> None:
        """`trace(word, time, mean score)` is called at every inference, warm-up included; for `noctule listen`."""
        self._front = FrontEnd()
        self._words = {package.id: _Word(package) for package in distinct(packages)}
        self._trace = trace
        self._frames = 0

    @property
    def words(self) -> dict[str, float]:
        """Id → threshold in force."""
        return {name: word.threshold for name, word in self._words.items()}

    @property
    def phrases(self) -> list[str]:
        """The words as a person writes them."""
        return [word.package.phrase for word in self._words.values()]

    def set_threshold(self, word: str, threshold: float | None) -> None:
        """Change a word's threshold while running; None returns to the package's own."""
        if word not in self._words:
            known = ", ".join(self._words) or "none"
            raise InputError(f"there is no wake word {word!r} (there are: {known})")
        state = self._words[word]
        if threshold is None:
            threshold = state.package.threshold
        if not 0.0 < threshold <= 1.0:
            raise InputError(f"a threshold is above 0 and at most 1, not {threshold:g}")
        state.threshold = threshold

    def reset(self) -> None:
        """Forget the stream; the next seconds are warm-up again."""
        self._front.reset()
        self._frames = 0
        for word in self._words.values():
            word.reset()

    def hole(self) -> None:
        """Sound was lost here. The stream goes on, and no word triggers until its model and the noise estimate hold
        nothing from before: as long as a warm-up. Costs nothing, where `reset` loads each graph again: a busy board
        that loses sound must not lose more of it by that."""
        now = self._frames * (HOP / SAMPLE_RATE)
        for word in self._words.values():
            word.hole(now)

    def close(self) -> None:
        for word in self._words.values():
            word.model.close()

    def push(self, samples: NDArray[np.int16]) -> list[Detection]:
        """Take the next samples, int16 mono 16 kHz, any number; what was heard in them, in order of time."""
        if samples.ndim != 1 or samples.dtype != np.int16:
            raise InputError(f"the detector takes int16 mono samples, got {samples.dtype.name}{list(samples.shape)}")
        return self.push_features(self._front.push(samples))

    def push_features(self, frames: NDArray[np.int8]) -> list[Detection]:
        """The same for frames computed elsewhere by the same front end, int8 [n, 40]."""
        if frames.ndim != 2 or frames.shape[1] != CHANNELS or frames.dtype != np.int8:
            raise InputError(f"the detector takes int8[n, 40] features, got {frames.dtype.name}{list(frames.shape)}")
        heard: list[Detection] = []
        for frame in frames:
            # The first frame ends at 30 ms, the next ones 10 ms later each.
            time = self._frames * (HOP / SAMPLE_RATE) + 0.03
            self._frames += 1
            for name, word in self._words.items():
                mean = word.take(frame)
                if mean is None:
                    continue
                if self._trace is not None:
                    self._trace(name, time, mean)
                if mean > word.threshold and time >= word.deaf_until:
                    word.deaf_until = time + word.package.refractory
                    heard.append(Detection(name, word.package.phrase, mean, word.threshold, time))
        return heard
