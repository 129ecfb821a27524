"""Speech to text that follows several readings at once (`beam.py`).

Words come as soon as no reading contradicts them; what is open when the audio ends is told as readings, for whoever
can judge which of them makes sense.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from noctule.core.checked_json import JsonNode
from noctule.lm.speech.beam_search import BeamSearch, Written
from noctule.lm.speech.codec import Codec, Encoder
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import SpeechSampling
from noctule.lm.speech.streams import Tokens
from noctule.lm.speech.stt import Reading, SttSession, SttSettings, Transcriber
from noctule.lm.speech.words import Word, WordAssembler

#: words of a conversation that a reading remembers, the last ones.
_REMEMBERED = 256
#: readings that a package may ask for.
MOST_READINGS = 32


class _Pen:
    """Writes tokens with the padding between them into words."""

    def __init__(self, words: WordAssembler, padding: int, frame: int = 0) -> None:
        self._words, self._padding, self._frame = words, padding, frame

    def reset(self) -> None:
        self._words.reset()
        self._frame = 0

    def branch(self) -> _Pen:
        return _Pen(self._words.branch(), self._padding, self._frame)

    def write(self, item: Written) -> list[Word]:
        words = self.pause(item.frame - 1)
        word = self._words.feed(item.token, item.frame, item.probability)
        self._frame = item.frame
        return words if word is None else [*words, word]

    def pause(self, until: int) -> list[Word]:
        """Nothing more is written up to and with frame `until`."""
        if until <= self._frame:
            return []
        word = self._words.feed(self._padding, self._frame + 1)
        self._frame = until
        return [] if word is None else [word]

    def finish(self) -> list[Word]:
        word = self._words.finish()
        return [] if word is None else [word]


class BeamTranscriber(SttSession):
    """See Ear."""

    def __init__(self, beam: BeamSearch, encoder: Encoder, words: WordAssembler, settings: SttSettings) -> None:
        super().__init__(beam.layout, encoder, settings)
        self._beam = beam
        self._pen = _Pen(words, beam.layout.text_padding)
        self.reset()

    def reset(self) -> None:
        super().reset()
        self._beam.reset()
        self._pen.reset()
        #: words that are certain, and word tokens when the last end of a turn was said.
        self._certain: deque[Word] = deque(maxlen=_REMEMBERED)
        self._ended_at = 0

    def _read(self, codes: Tokens) -> list[Word]:
        self._beam.step(codes)
        written, until = self._beam.take_certain()
        words = [word for item in written for word in self._pen.write(item)] + self._pen.pause(until)
        self._certain.extend(words)
        return words

    def _chances(self) -> list[NDArray[np.float32]]:
        return self._beam.extra_heads()

    @property
    def guess(self) -> tuple[Word, ...]:
        pen = self._pen.branch()
        words = [word for item in self._beam.best.written for word in pen.write(item)]
        return (*words, *pen.pause(self._beam.frames - 1))

    @property
    def _writing(self) -> bool:
        return self._beam.best.last == self._beam.frames - 1

    @property
    def _unended(self) -> bool:
        return self._beam.best.total > self._ended_at and not self._writing

    def _ended(self) -> None:
        self._ended_at = self._beam.best.total

    def _rest(self) -> list[Word]:
        """The words of the likeliest reading; all of them become `readings`."""
        found = [(self._open_words(written), share) for written, share in self._beam.readings()]
        self.readings = tuple(Reading((*self._certain, *words), share) for words, share in found)
        return found[0][0]

    def _open_words(self, written: tuple[Written, ...]) -> list[Word]:
        pen = self._pen.branch()
        return [word for item in written for word in pen.write(item)] + pen.finish()


def readings_of(model: SpeechModel, wanted: int = -1) -> int:
    """How many readings a model's transcriber follows: `wanted`, or with -1 what its package says (1 unless it does).

    Raises ModelError when the package's number makes no sense.
    """
    if wanted > 0:
        return wanted
    streams = JsonNode(str(model.manifest.folder / "manifest.json"), "streams", model.settings)
    return streams.get("stt", {}).get("readings", 1).integer(1, MOST_READINGS)


def transcriber(
    model: SpeechModel, codec: Codec, sampling: SpeechSampling | None = None, seed: int = 0, readings: int = -1
) -> SttSession:
    """A listening conversation of its own; ModelError when the model is not made for speech to text.

    readings: how many are followed at once, -1 for the package's number. One where the text is drawn by chance
    (sampling), which a search would not do.
    """
    model.require("stt")
    heads = int((model.settings.get("extra_heads") or {}).get("count", 0))
    settings = SttSettings.of(model.settings.get("stt") or {}, heads)
    words = model.words(settings.lag)
    count = readings_of(model, readings)
    if count > 1 and (sampling or model.sampling).text.greedy:
        beam = BeamSearch(model.layout, model.rows, lambda: Temporal(model.model), count)
        return BeamTranscriber(beam, codec.encoder(), words, settings)
    return Transcriber(model.session(sampling=sampling, seed=seed), codec.encoder(), words, settings)
