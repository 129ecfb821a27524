"""A text spoken by a pocket-tts model, frame by frame. Order and counts follow `TTSModel` of pocket_tts.

Each chunk of a text starts anew from the voice. A frame is: a step of the backbone over the latent before it, the
sampler head over its conditioning and noise, the codec's decoder over the latent. The model says at every frame
whether the speech ends there; a few frames are spoken on after that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from noctule.lm.speech.pocket.backbone import VoiceState
from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.sampler import draw
from noctule.lm.speech.pocket.text import TextPart, chunks

Floats = NDArray[np.float32]

#: frames before which the end is not believed (`_MIN_FRAMES_BEFORE_EOS`)
_SHORTEST = 6
#: a text of n tokens takes at most n / _TOKENS_PER_SECOND + _SPARE_SECONDS (`_estimate_max_gen_len`)
_TOKENS_PER_SECOND, _SPARE_SECONDS = 3.0, 2.0
#: seconds in which the first frame of a chunk fades in: a fresh decoder begins with a small step
_FADE = 0.005


class PocketSpeech:
    """One text being spoken; only one of a model may be under way."""

    def __init__(
        self,
        model: PocketModel,
        voice: VoiceState | None = None,
        *,
        seed: int = 0,
        noise: Callable[[], Floats] | None = None,
        threshold: float | None = None,
    ) -> None:
        """noise: what to draw a frame's noise [latent] with, by default seeded normal values of the model's variance;
        threshold: of the end's logit instead of the model's."""
        self._model, self._voice, self._settings = model, voice, model.settings
        rng = np.random.default_rng(seed)
        self._noise = noise or (lambda: draw(rng, model.settings))
        self._threshold = self._settings.end_threshold if threshold is None else threshold
        self._waiting: deque[TextPart] = deque()
        self._chunk: TextPart | None = None
        self._latent = self._settings.bos
        self._frame, self._ends, self._most = 0, -1, 0
        #: chunks that were cut because the model never said that they end, or had no room
        self.cut_off = 0

    def add(self, text: str) -> None:
        """More to say, after what was given before."""
        rows, room = self._model.backbone.rows, self._model.backbone.context
        room -= 0 if self._voice is None else self._voice.length
        longest = max(1, room // 2 - rows)
        for chunk in chunks(text, self._model.tokenizer, self._settings.text):
            for start in range(0, len(chunk.tokens), longest):  # more than one only where nothing can be cut
                part = chunk.tokens[start : start + longest]
                self._waiting.append(TextPart(chunk.text, part, chunk.frames_after_end))

    @property
    def done(self) -> bool:
        """Everything given so far is spoken."""
        return self._chunk is None and not self._waiting

    def step(self) -> Floats | None:
        """The next frame, float32 [frame_samples] in [-1, 1]; None when nothing is left, or nothing came of it."""
        if self._chunk is None:
            if not self._waiting:
                return None
            self._begin(self._waiting.popleft())
        latent = self._next()
        if latent is None:
            self._chunk = None
            return None
        pcm = self._model.decoder.step(latent)
        if self._frame == 0:
            fade = int(_FADE * self._settings.sample_rate)
            pcm[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)[: len(pcm)]
        self._frame += 1
        clipped: Floats = np.clip(pcm, -1.0, 1.0)
        return clipped

    def _begin(self, chunk: TextPart) -> None:
        s, backbone = self._settings, self._model.backbone
        self._most = math.ceil((len(chunk.tokens) / _TOKENS_PER_SECOND + _SPARE_SECONDS) * s.frame_rate)
        backbone.begin(self._voice, len(chunk.tokens) + backbone.rows)
        backbone.prompt(backbone.text(chunk.tokens))
        self._model.decoder.reset()
        self._chunk, self._latent, self._frame, self._ends = chunk, s.bos, 0, -1

    def _next(self) -> Floats | None:
        """The next latent; None at the end of the chunk."""
        assert self._chunk is not None
        if self._frame >= self._most or self._model.backbone.full:
            self.cut_off += 1
            return None
        hidden, end = self._model.backbone.step(self._latent)
        if end > self._threshold and self._ends < 0 and self._frame >= _SHORTEST:
            self._ends = self._frame
        if self._ends >= 0 and self._frame >= self._ends + self._chunk.frames_after_end:
            return None
        self._latent = self._model.sampler.sample(hidden, self._noise())
        return self._latent
