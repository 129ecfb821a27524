"""Speech to text by a speech model of our own, for the assistant's turns. L3; used by one thread.

The model is loaded at the first command: a board that is never spoken to does not hold it in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from noctule.audio.chunk import RATE, Pcm
from noctule.errors import InputError
from noctule.lm.speech_lm import SpeechSampling
from noctule.lm.speech_pair import SpeechPair
from noctule.lm.stt import Transcriber, transcriber
from noctule.lm.words import Word
from noctule.resample import Resampler


class ModelRecogniser:
    """See turns.Recogniser. load: makes the pair, once; sampling: how its text is drawn, given the pair."""

    def __init__(
        self,
        load: Callable[[], SpeechPair],
        sampling: Callable[[SpeechPair], SpeechSampling] = lambda pair: pair.model.sampling,
        seed: int = 0,
    ) -> None:
        self._load, self._sampling, self._seed = load, sampling, seed
        self._pair: SpeechPair | None = None
        self._listener: Transcriber | None = None

    def transcribe(self, samples: Pcm) -> str:
        """The words in int16 mono 16 kHz `samples`, "" when there were none. Raises NoctuleError."""
        if len(samples) == 0:
            raise InputError("There is no sound to transcribe.")
        pair, listener = self._ready()
        shape = pair.codec.shape
        resampler = Resampler(RATE, shape.sample_rate)
        sound = np.asarray(samples, np.float32) / np.float32(32768)
        sound = np.concatenate([resampler.push(sound), resampler.finish()])
        short = -len(sound) % shape.frame_samples
        frames = np.concatenate([sound, np.zeros(short, np.float32)]).reshape(-1, shape.frame_samples)
        listener.reset()
        heard = [item for frame in frames for item in listener.feed(frame)]
        heard += listener.finish()
        return " ".join(item.text for item in heard if isinstance(item, Word))

    def close(self) -> None:
        """Free the model."""
        if self._pair is not None:
            self._pair.close()
            self._pair = self._listener = None

    def _ready(self) -> tuple[SpeechPair, Transcriber]:
        if self._pair is None or self._listener is None:
            pair = self._load()
            try:
                self._listener = transcriber(pair.model, pair.codec, self._sampling(pair), self._seed)
            except BaseException:
                pair.close()
                raise
            self._pair = pair
        return self._pair, self._listener
