"""Speech to text: 80 ms frames of audio in, timed words and ends of turn out.

The model hears the user's codebooks and writes only the text stream, `audio_delay_seconds` behind the sound; the
audio is framed by the silence it was trained with, and the first frame is given twice because the first step reads
the initial tokens (as `moshi/run_inference.py` in kyutai-labs/moshi does). Models with extra heads also predict, at
each frame, whether the speaker will stay silent: that is the end of a turn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.lm.speech.codec import Encoder, Samples
from noctule.lm.speech.session import SpeechLM
from noctule.lm.speech.streams import StreamLayout, Tokens
from noctule.lm.speech.words import Word, WordAssembler

#: silence after the audio beyond the model's delay, so that the last word is written (as the reference: 1 s).
_TAIL_SECONDS = 1.0
#: the same where the end of the speech itself is known: by how much a model may write later than its delay.
_MARGIN_SECONDS = 0.32


@dataclass(frozen=True)
class EndOfTurn:
    """The speaker has finished. at: seconds of the audio; probability: what the model's head says."""

    at: float
    probability: float


@dataclass(frozen=True)
class SttSettings:
    """delay, prefix: seconds of text delay and of silence before the audio; turn_head, turn_class: which extra head
    and which of its classes says "silent from here", None for a model that cannot tell; turn_threshold: how sure it
    must be."""

    delay: float = 0.0
    prefix: float = 0.0
    turn_head: int | None = None
    turn_class: int = 0
    turn_threshold: float = 0.5

    @property
    def lag(self) -> float:
        """Seconds from a sound's place in the audio to the frame count at which its word is written."""
        return self.delay + self.prefix

    @classmethod
    def of(cls, table: Mapping[str, Any], extra_heads: int = 0) -> SttSettings:
        """From the manifest's `streams.stt`. The published models with extra heads tell the end of a turn by the
        first class of the third head (kyutai-labs/delayed-streams-modeling, `stt_from_mic_mlx.py`)."""
        turn = table.get("end_of_turn") or ({"head": 2} if extra_heads > 2 else {})
        if turn and not 0 <= int(turn.get("head", -1)) < extra_heads:
            raise ModelError(f"the end of a turn is told by head {turn.get('head')}, but the model has {extra_heads}")
        try:
            return cls(
                delay=float(table.get("audio_delay_seconds", 0.0)),
                prefix=float(table.get("audio_silence_prefix_seconds", 0.0)),
                turn_head=int(turn["head"]) if turn else None,
                turn_class=int(turn.get("class", 0)),
                turn_threshold=float(turn.get("threshold", 0.5)),
            )
        except (KeyError, TypeError, ValueError) as e:
            raise ModelError(f"the manifest's streams.stt cannot be read: {e}") from None


@dataclass(frozen=True)
class Reading:
    """One way to read all that was heard since the last reset. share: how likely beside the others, from 0 to 1."""

    words: tuple[Word, ...]
    share: float


class SttSession(ABC):
    """One listening conversation. `feed` a frame at a time; `finish` when the audio ends.

    What listens and writes is the subclass's; here is the order of frames, the silence around the audio and the end
    of the turn.
    """

    #: after `finish`: what may have been said, the likeliest first; empty where there is one reading only.
    readings: tuple[Reading, ...] = ()

    def __init__(self, layout: StreamLayout, encoder: Encoder, settings: SttSettings) -> None:
        if layout.dep_q:
            raise ModelError("the model also speaks: it is not a speech-to-text model")
        if encoder.n_q < layout.n_q:
            raise ModelError(f"the codec has {encoder.n_q} codebooks, but the model hears {layout.n_q}")
        self._layout, self._encoder, self._settings = layout, encoder, settings
        self._rate = layout.frame_rate
        self._silence = np.zeros(encoder.frame_samples, np.float32)

    @property
    def hears_turns(self) -> bool:
        """Whether this model can tell the end of a turn."""
        return self._settings.turn_head is not None

    def reset(self) -> None:
        """Forget everything heard."""
        self._encoder.reset()
        self._frames = 0
        self.readings = ()

    @abstractmethod
    def _read(self, codes: Tokens) -> list[Word]:
        """The model reads a frame; what is complete by it."""

    @abstractmethod
    def _chances(self) -> list[NDArray[np.float32]]:
        """Probabilities of the extra heads for the frame just read."""

    @property
    def guess(self) -> tuple[Word, ...]:
        """Words of the likeliest reading that are not certain yet, and may be taken back."""
        return ()

    @property
    @abstractmethod
    def _writing(self) -> bool:
        """Whether a word is being written."""

    @property
    @abstractmethod
    def _unended(self) -> bool:
        """Whether something was said since the last end of a turn."""

    @abstractmethod
    def _ended(self) -> None:
        """The end of the turn was said."""

    @abstractmethod
    def _rest(self) -> list[Word]:
        """The audio has ended: the words that were still open."""

    def feed(self, pcm: Samples) -> list[Word | EndOfTurn]:
        """One frame of audio, float32 [frame_samples] in [-1, 1] → what was completed by it."""
        heard: list[Word | EndOfTurn] = []
        if self._frames == 0:
            for _ in range(round(self._settings.prefix * self._rate)):
                heard += self._step(self._silence)
        return heard + self._step(pcm)

    def finish(self, quiet: float = 0.0) -> Iterator[Word | EndOfTurn]:
        """The words still to come once the audio has ended; the transcriber is then reset.

        quiet: seconds of silence with which the audio already ended, for which no more silence is needed.
        """
        if self._frames:
            most = round((self._settings.delay + _TAIL_SECONDS - quiet) * self._rate)
            least = round((self._settings.delay + _MARGIN_SECONDS - quiet) * self._rate)
            for given in range(most):
                if quiet > 0 and given >= least and not self._writing:
                    break  # all that was said has had its time to be written
                yield from self._step(self._silence)
        rest, readings = self._rest(), self.readings
        yield from rest
        self.reset()
        self.readings = readings

    def _step(self, pcm: Samples) -> list[Word | EndOfTurn]:
        codes = self._encoder.step(pcm)[: self._layout.n_q]
        if self._frames == 0:
            self._read(codes)  # reads the initial tokens; what it writes is read back, but says nothing yet
        self._frames += 1
        heard: list[Word | EndOfTurn] = [*self._read(codes)]
        heard += self._turn()
        return heard

    def _turn(self) -> list[Word | EndOfTurn]:
        settings = self._settings
        if settings.turn_head is None or not self._unended:
            return []
        probability = float(self._chances()[settings.turn_head][settings.turn_class])
        if probability < settings.turn_threshold:
            return []
        self._ended()  # said once, until the next word
        at = max(0.0, self._frames / self._rate - settings.prefix)
        return [EndOfTurn(at, probability)]


class Transcriber(SttSession):
    """Writes one token after another, each drawn as the session's sampling says."""

    def __init__(self, lm: SpeechLM, encoder: Encoder, words: WordAssembler, settings: SttSettings) -> None:
        super().__init__(lm.layout, encoder, settings)
        self._lm, self._words = lm, words
        self.reset()

    def reset(self) -> None:
        super().reset()
        self._lm.reset()
        self._words.reset()
        self._turn_open = False
        #: probabilities of the text tokens on their way through the delay ring, the next to come out first
        self._sure: deque[float] = deque(maxlen=self._layout.max_delay + 1)

    def _read(self, codes: Tokens) -> list[Word]:
        frame = self._lm.step(codes)
        if self._frames == 0:
            return []
        self._sure.append(self._lm.text_probability())
        if frame is None:
            return []
        word = self._words.feed(int(frame[0]), self._frames - self._layout.max_delay, self._sure[0])
        if word is None:
            return []
        self._turn_open = True
        return [word]

    def _chances(self) -> list[NDArray[np.float32]]:
        return self._lm.extra_heads()

    @property
    def _writing(self) -> bool:
        return self._words.open

    @property
    def _unended(self) -> bool:
        return self._turn_open

    def _ended(self) -> None:
        self._turn_open = False

    def _rest(self) -> list[Word]:
        word = self._words.finish()
        return [] if word is None else [word]
