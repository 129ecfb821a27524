"""Text to speech by a speech model of our own, for the assistant's answers. Used by one thread."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from noctule.audio.wavefile import WavReader
from noctule.config.speech import Speech
from noctule.lm.speech.codec import Samples
from noctule.lm.speech.pair import SpeechPair, sampling
from noctule.lm.speech.speaker_voice import read_voice, speaking_conditions
from noctule.lm.speech.text_normalisation import spoken
from noctule.lm.speech.tts import Speaker, prefix_codes

_BLANK, _CLAUSE = re.compile(r"\s+"), re.compile(r"[.,;:!?]\s+|\n+")


class ModelSynthesis:
    """See saying.Synthesis. Words are given to the model as soon as they are whole; clauses, where figures and signs
    must be written out for it, for which their neighbours matter ("9:05", "5 °C")."""

    def __init__(self, speaker: Speaker, rate: int) -> None:
        self._speaker = speaker
        self._utterance = speaker.begin(complete=False)
        self._rest = ""
        self._any = False
        self._complete = False
        self.rate = rate

    @property
    def done(self) -> bool:
        return self._complete and (not self._any or self._utterance.done)

    def more(self, text: str) -> None:
        self._rest += text
        ends = [found.end() for found in (_CLAUSE if self._speaker.settings.spells else _BLANK).finditer(self._rest)]
        cut = ends[-1] if ends else 0
        self._give(self._rest[:cut], ends=False)
        self._rest = self._rest[cut:]

    def _give(self, text: str, *, ends: bool = True) -> None:
        if (spoken(text) if self._speaker.settings.spells else text).strip():
            self._utterance.feed.more(self._speaker.entries([text], continued=self._any, ends=ends))
            self._any = True

    def close(self) -> None:
        self._give(self._rest)
        self._rest, self._complete = "", True
        self._utterance.feed.close()

    def step(self) -> Samples | None:
        if not self._any or self.done or self._utterance.feed.hungry:
            return None
        return self._utterance.step()

    def cancel(self) -> None:
        """The model's state ends with the object."""


class ModelSynthesizer:
    """See saying.Synthesizer. speaker: see `open_speaker`."""

    def __init__(self, pair: SpeechPair, speaker: Speaker) -> None:
        self._pair, self._speaker = pair, speaker

    @property
    def name(self) -> str:
        return self._pair.model.manifest.name

    def begin(self) -> ModelSynthesis:
        return ModelSynthesis(self._speaker, self._pair.codec.shape.sample_rate)

    def close(self) -> None:
        self._pair.close()


def open_speaker(pair: SpeechPair, speech: Speech, voice: Path | None = None) -> tuple[Speaker, list[str]]:
    """What says texts with this pair, and what is to be told about the voice's file.

    voice: a .safetensors voice, or a .wav for the model to continue; by default speech.voice. Raises NoctuleError.
    """
    voice = voice or (Path(speech.voice) if speech.voice else None)
    conditions, prefix, warnings = _voice(pair, voice, speech.guidance)
    speaker = Speaker(
        pair.model,
        pair.codec,
        sampling=sampling(pair, speech),
        seed=speech.seed,
        codebooks=pair.verdict.codebooks if pair.model.modes == ("tts",) else None,
        conditions=conditions,
        prefix=prefix,
    )
    return speaker, warnings


def _voice(pair: SpeechPair, voice: Path | None, guidance: float) -> tuple[Any, Any, list[str]]:
    """The voice as conditions, or as a prefix to continue; what its file was found to lack."""
    takes = pair.model.conditions
    if voice is None:
        return speaking_conditions(takes, guidance=guidance), None, []
    if voice.suffix.lower() != ".wav":
        return speaking_conditions(takes, [read_voice(voice)], guidance), None, []
    shape = pair.codec.shape
    with WavReader(voice) as wav:
        prefix = prefix_codes(pair.codec, wav.at_rate(shape.sample_rate, shape.frame_samples))
        return speaking_conditions(takes, guidance=guidance), prefix, list(wav.warnings)
