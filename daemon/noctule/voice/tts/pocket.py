"""Text to speech by a pocket-tts model, for the assistant's answers. Used by one thread."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.config.speech import Speech
from noctule.lm.speech.pocket.backbone import VoiceState
from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.speech import PocketSpeech
from noctule.lm.speech.realtime import Verdict

Samples = NDArray[np.float32]

#: a sentence that is whole: the model is trained on them
_SENTENCE = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*\s+|\n+")


class PocketSynthesis:
    """See speech_handle.Synthesis. A sentence is spoken as soon as it is whole, frame by frame."""

    def __init__(self, speech: PocketSpeech, rate: int) -> None:
        self._speech, self._rest, self._complete = speech, "", False
        self.rate = rate

    @property
    def done(self) -> bool:
        return self._complete and self._speech.done

    def more(self, text: str) -> None:
        self._rest += text
        ends = [found.end() for found in _SENTENCE.finditer(self._rest)]
        if ends:
            self._speech.add(self._rest[: ends[-1]])
            self._rest = self._rest[ends[-1] :]

    def close(self) -> None:
        self._speech.add(self._rest)
        self._rest, self._complete = "", True

    def step(self) -> Samples | None:
        return self._speech.step()

    def cancel(self) -> None:
        """The state is the model's, and the next text begins anew."""


class PocketSynthesizer:
    """See speech_handle.Synthesizer. model: owned from here on."""

    def __init__(self, model: PocketModel, voice: VoiceState | None, verdict: Verdict, seed: int) -> None:
        self.verdict = verdict
        self._model, self._voice, self._seed = model, voice, seed

    @property
    def name(self) -> str:
        return self._model.name

    def begin(self) -> PocketSynthesis:
        return PocketSynthesis(
            PocketSpeech(self._model, self._voice, seed=self._seed), self._model.settings.sample_rate
        )

    def close(self) -> None:
        self._model.close()


def open_pocket(
    folder: Path,
    speech: Speech,
    *,
    voice: str = "",
    threads: int = 0,
    cache_dir: Path | None = None,
) -> PocketSynthesizer:
    """Load a package, probe the board and read the voice. voice, threads: instead of the configuration's. Raises
    ModelError, InputError for the voice, and UnavailableError when the board is too slow and must keep up."""
    model = PocketModel.load(folder, threads=threads or speech.threads, cache_dir=cache_dir)
    try:
        verdict = model.probe(speech.realtime)
        return PocketSynthesizer(model, model.voice(voice or speech.voice), verdict, speech.seed)
    except BaseException:
        model.close()
        raise
