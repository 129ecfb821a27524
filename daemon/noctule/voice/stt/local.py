"""Speech to text by a speech model of our own, for the assistant's turns. Used by one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noctule.audio.chunk import RATE, Pcm
from noctule.audio.resample import Resampler
from noctule.core.errors import ModelError
from noctule.lm.speech.pair import SpeechPair
from noctule.lm.speech.session import SpeechSampling
from noctule.lm.speech.stt import EndOfTurn, Reading, SttSession
from noctule.lm.speech.stt_beam import transcriber
from noctule.lm.speech.words import Word


class ModelListening:
    """See recogniser.Listening: one command, frame by frame as it comes."""

    def __init__(self, listener: SttSession, rate: int, frame: int) -> None:
        self._listener, self._frame = listener, frame
        self._resampler = Resampler(RATE, rate)
        self._rest: NDArray[np.float32] = np.zeros(0, np.float32)
        listener.reset()

    def feed(self, samples: Pcm) -> Sequence[Word | EndOfTurn]:
        return self._take(self._resampler.push(samples.astype(np.float32) / np.float32(32768)))

    def _take(self, sound: NDArray[np.float32]) -> list[Word | EndOfTurn]:
        self._rest = np.concatenate([self._rest, sound])
        whole = len(self._rest) // self._frame
        frames, self._rest = np.split(self._rest, [whole * self._frame])
        return [item for frame in frames.reshape(whole, self._frame) for item in self._listener.feed(frame)]

    def finish(self, quiet: float) -> Sequence[Word | EndOfTurn]:
        heard = self._take(self._resampler.finish())
        if len(self._rest):
            heard += self._take(np.zeros(self._frame - len(self._rest), np.float32))
        return [*heard, *self._listener.finish(quiet)]

    @property
    def guess(self) -> Sequence[Word]:
        return self._listener.guess

    @property
    def readings(self) -> Sequence[Reading]:
        return self._listener.readings

    def cancel(self) -> None:
        """The next command resets the model."""


class ModelRecogniser:
    """See recogniser.py. pair: loaded, owned from here on; sampling: how its text is drawn; readings: how many are
    followed at once."""

    def __init__(
        self, pair: SpeechPair, sampling: SpeechSampling | None = None, seed: int = 0, readings: int = 1
    ) -> None:
        self._pair = pair
        self._listener = transcriber(pair.model, pair.codec, sampling, seed, readings)
        stt = pair.model.settings.get("stt") or {}
        try:
            #: below this the model's own judgement of a command is that it did not understand.
            self.confidence = float(stt.get("confidence", 0.0))
        except (TypeError, ValueError):
            where = pair.model.manifest.folder
            raise ModelError(f"{where}: streams.stt.confidence is no number: {stt.get('confidence')!r}") from None

    @property
    def name(self) -> str:
        return self._pair.model.manifest.name

    def begin(self) -> ModelListening:
        shape = self._pair.codec.shape
        return ModelListening(self._listener, shape.sample_rate, shape.frame_samples)

    def close(self) -> None:
        """Free the model."""
        self._pair.close()
