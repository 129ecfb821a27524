"""One conversation with a multistream speech model: a step takes a frame's tokens and gives a frame's tokens.

    session = model.session(seed=1)
    frame = session.step(codes_of_the_user)     # int32 [1 + dep_q], or None until the delays fill

Order within a step, as in `LMGen._step` of kyutai-labs/moshi: the outside codebooks enter the delay ring; the
temporal transformer reads one frame and gives text logits; the text token is sampled; the depformer gives audio
logits codebook by codebook, each seeing the token before it; the ring takes what was written and gives back the
newest frame whose streams are all there. Nothing of one session is visible to another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError
from noctule.lm.sampler import AudioSampling, Sampling, choose
from noctule.lm.speech.graph import Depformer, Floats, Temporal
from noctule.lm.speech.streams import UNGENERATED, ZERO, DelayRing, Rows, StreamLayout, Tokens

#: frames over which a repetition penalty looks back (about five seconds).
REPETITION_WINDOW = 64


@dataclass(frozen=True)
class SpeechTextSampling(Sampling):
    """Defaults of the text stream: those of the reference (`LMGen`: temp_text 0.7, top_k_text 25)."""

    temperature: float = 0.7
    top_k: int = 25


@dataclass(frozen=True)
class SpeechSampling:
    """How the text stream and the audio codebooks are drawn."""

    text: Sampling = field(default_factory=SpeechTextSampling)
    audio: Sampling = field(default_factory=AudioSampling)


@dataclass(frozen=True)
class Hooks:
    """Callbacks of one session, each optional, called in this order within a step.

    text_logits(logits [text_card]): may change them in place; text(token) → the token to use instead (a text stream
    fed from outside), seen by the depformer; audio_logits(q, logits [card]): may change them in place;
    audio(tokens [dep_q]) → the tokens to remember instead, unseen by the depformer; frame(tokens [1 + dep_q]): each
    aligned frame.
    """

    text_logits: Callable[[Floats], None] | None = None
    text: Callable[[int], int] | None = None
    audio_logits: Callable[[int, Floats], None] | None = None
    audio: Callable[[Tokens], Tokens] | None = None
    frame: Callable[[Tokens], None] | None = None


class SpeechLM:
    """A session. Made by `SpeechModel.session`, which owns the graphs; used by one thread at a time."""

    def __init__(
        self,
        layout: StreamLayout,
        temporal: Temporal,
        depformer: Depformer | None,
        rows: Rows,
        *,
        sampling: SpeechSampling | None = None,
        seed: int = 0,
        uniforms: Callable[[], float] | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """uniforms: where random numbers come from, one for the text token and then one for each codebook; a PCG64
        stream of `seed` when None."""
        self.layout = layout
        self.sampling = sampling or SpeechSampling()
        self.hooks = hooks or Hooks()
        self._temporal, self._depformer, self._rows = temporal, depformer, rows
        self._given_uniforms, self._seed = uniforms, seed
        self._ring = DelayRing(layout)
        self._quiet = (layout.text_padding, layout.end_of_text_padding, ZERO)
        self._no_input = np.full(layout.outside, ZERO, np.int32)
        self._begin()

    def _begin(self) -> None:
        self._random = np.random.Generator(np.random.PCG64(self._seed))
        self._history: list[deque[int]] = [deque(maxlen=REPETITION_WINDOW) for _ in range(self.layout.written)]
        self._extra: list[Floats] | None = None
        self._said: tuple[Floats, int] | None = None

    @property
    def steps(self) -> int:
        """Frames read since the last reset."""
        return self._ring.offset

    def reset(self) -> None:
        """Forget the conversation; the random numbers start again from the seed."""
        self._ring.reset()
        self._temporal.reset()
        self._begin()

    def step(self, outside: Sequence[int] | Tokens | None = None, force: Tokens | None = None) -> Tokens | None:
        """One frame.

        outside: tokens int32 [n_q - dep_q] of the codebooks the model does not write; None for no input at all.
        force: int32 [1 + dep_q], tokens to write instead of what the model would sample in this step (a prompt or
        teacher forcing; use `streams.delayed` for aligned frames), UNGENERATED where the model decides.
        Returns the newest aligned frame, int32 [1 + dep_q], or None until the delays fill.
        """
        layout, hooks = self.layout, self.hooks
        given = self._checked(force)
        self._ring.give(self._no_input if outside is None else outside)
        hidden, logits = self._temporal.step(self._rows.temporal(self._ring.frame()))
        self._extra = self._said = None
        if hooks.text_logits is not None:
            hooks.text_logits(logits)
        text = int(given[0]) if given is not None else UNGENERATED
        if text == UNGENERATED:
            text = self._draw(0, logits, self.sampling.text)
        if hooks.text is not None:
            text = hooks.text(text)
        self._said = logits, text
        written = np.empty(layout.written, np.int32)
        written[0] = text
        if layout.dep_q:
            written[1:] = self._audio(hidden, text, None if given is None else given[1:])
        self._ring.commit(written)
        self._remember(written)
        frame = self._ring.aligned()
        if frame is not None and hooks.frame is not None:
            hooks.frame(frame)
        return frame

    def extra_heads(self) -> list[NDArray[np.float32]]:
        """Probabilities of each extra head for the frame just read, float32 [classes] each."""
        if self._extra is None:
            self._extra = [_softmax(logits) for logits in self._temporal.extra()]
        return self._extra

    def text_probability(self) -> float:
        """Probability, at temperature 1, that the model gave to the text token it just wrote; 0 when it has none."""
        if self._said is None:
            return 0.0
        logits, token = self._said
        flat = logits.reshape(-1)
        if not 0 <= token < flat.size:
            return 0.0
        shifted = np.exp((flat - flat.max()).astype(np.float64))
        return float(shifted[token] / shifted.sum())

    def _audio(self, hidden: Floats, text: int, force: Tokens | None) -> Tokens:
        layout, hooks = self.layout, self.hooks
        if force is not None and hooks.audio_logits is None and not (force == UNGENERATED).any():
            tokens = force.copy()  # nothing to predict: the depformer is left out
        else:
            if self._depformer is None:
                raise ModelError("the model has no depformer, but its layout says that it writes audio")
            tokens = self._depformer.run(hidden, text, self._rows, self._draw_audio, force, layout.dep_q)
        return tokens if hooks.audio is None else hooks.audio(tokens)

    def _draw_audio(self, q: int, logits: Floats) -> int:
        if self.hooks.audio_logits is not None:
            self.hooks.audio_logits(q, logits)
        return self._draw(1 + q, logits, self.sampling.audio)

    def _draw(self, stream: int, logits: Floats, how: Sampling) -> int:
        uniform = 0.0
        if not how.greedy:
            given = self._given_uniforms
            uniform = float(self._random.random()) if given is None else given()
        return choose(logits, how, uniform, self._history[stream])

    def _remember(self, written: Tokens) -> None:
        """The history that repetition penalties look at: padding never counts, or words could not pause."""
        for stream, token in enumerate(written.tolist()):
            if token >= 0 and not (stream == 0 and token in self._quiet):
                self._history[stream].append(token)

    def _checked(self, force: Tokens | None) -> Tokens | None:
        if force is None:
            return None
        layout = self.layout
        given = np.asarray(force, np.int32).reshape(-1)
        if len(given) != layout.written:
            raise InputError(f"{len(given)} tokens are forced, but the model writes {layout.written} streams")
        audio = given[1:][given[1:] != UNGENERATED]
        layout.check_audio(audio, "a forced frame")
        return given


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max())
    out: Floats = (shifted / shifted.sum()).astype(np.float32)
    return out
