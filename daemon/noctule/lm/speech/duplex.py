"""Full duplex: the model hears and speaks at once, a frame in and a frame out. Also simultaneous translation.

The first frame is given twice, because the first step reads the initial tokens; a translator is told the end of the
audio by one frame of the initial token and then goes on until it writes the end of its text (as
`moshi/run_inference.py` in kyutai-labs/moshi does).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from noctule.core.errors import ModelError
from noctule.lm.speech.codec import Decoder, Encoder, Samples
from noctule.lm.speech.session import SpeechLM
from noctule.lm.speech.streams import Tokens
from noctule.lm.speech.words import Word, WordAssembler


@dataclass(frozen=True)
class DuplexOutput:
    """What the model says in one frame. text: token of its text stream; word: one it has just completed, timed on
    its own voice; pcm: float32 [frame_samples] in [-1, 1]."""

    text: int
    word: Word | None
    pcm: Samples


class Duplex:
    """One conversation."""

    def __init__(self, lm: SpeechLM, encoder: Encoder, decoder: Decoder, words: WordAssembler, eos: frozenset[int]):
        layout = lm.layout
        if not layout.dep_q or not layout.outside:
            raise ModelError("the model does not both hear and speak: it is not a duplex model")
        if encoder.n_q < layout.outside or decoder.n_q > layout.dep_q:
            raise ModelError(
                f"the codec has {encoder.n_q} codebooks, but the model hears {layout.outside} and writes"
                f" {layout.dep_q}"
            )
        self._lm, self._encoder, self._decoder, self._words, self._eos = lm, encoder, decoder, words, eos
        self._silence = np.zeros(encoder.frame_samples, np.float32)
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation."""
        self._lm.reset()
        self._encoder.reset()
        self._decoder.reset()
        self._words.reset()
        self._frames = 0

    def feed(self, pcm: Samples) -> DuplexOutput | None:
        """One frame of what the user says, float32 [frame_samples] → what the model says, None at first."""
        codes = self._encoder.step(pcm)[: self._lm.layout.outside]
        if self._frames == 0:
            self._lm.step(codes)
        return self._step(codes)

    def finish(self, frames: int) -> Iterator[DuplexOutput]:
        """What the model says after the user has ended, until it ends its text or for `frames` frames."""
        end = np.full(self._lm.layout.outside, self._lm.layout.initial_audio, np.int32)
        for i in range(frames):
            codes = end if i == 0 else self._encoder.step(self._silence)[: self._lm.layout.outside]
            spoken = self._step(codes)
            if spoken is None:
                continue
            if spoken.text in self._eos:
                break
            yield spoken

    def last_word(self) -> Word | None:
        """The word still open when nothing more will come."""
        return self._words.finish()

    def _step(self, codes: Tokens) -> DuplexOutput | None:
        frame = self._lm.step(codes)
        self._frames += 1
        if frame is None:
            return None
        text = int(frame[0])
        pcm: Samples = np.clip(self._decoder.step(frame[1 : 1 + self._decoder.n_q]), -1.0, 1.0)
        return DuplexOutput(text, self._words.feed(text, self._frames - self._lm.layout.max_delay), pcm)
