"""How well the voice is understood: by pocketsphinx, a recogniser that shares nothing with our models.

It is given a list of words and hears any string of them, all equally likely, so that its language model guesses
nothing. What is judged is therefore the sound of each word. The same sentences by espeak-ng and by flite's slt, the
voice that was learned from, are the yardsticks.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
import wave
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.sound.signal import resample
from builders.speech.clips import RATE, Audio
from builders.speech.voice.flite import FliteVoice
from builders.speech.voice.text import VoiceTexts

Voice = Callable[[str], Audio]
#: the list's own weight against the sound
_WORD_WEIGHT = 6.5
#: a third of the work of pocketsphinx's own settings
_FAST = {"maxhmmpf": 2000, "topn": 2, "maxwpf": 20}


def hits(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """How many of the wanted words are heard, in order: the longest common subsequence."""
    row = [0] * (len(heard) + 1)
    for word in wanted:
        before = 0
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], before + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def words_of(text: str) -> list[str]:
    """The words of a text in the spoken form, without its pauses."""
    return _without_pauses(text).split()


def _without_pauses(text: str) -> str:
    out, inside = [], False
    for character in text:
        inside = inside or character == "<"
        out.append(" " if inside else character)
        inside = inside and character != ">"
    return "".join(out)


def unigrams(words: Sequence[str]) -> str:
    """An ARPA language model in which every word is as likely as any other."""
    each = -math.log10(len(words) + 1)
    lines = [f"{each:.4f} {word}" for word in ["</s>", *words]]
    return "\n".join(
        ["\\data\\", f"ngram 1={len(words) + 2}", "", "\\1-grams:", "-99 <s>", *lines, "", "\\end\\", ""]
    )


class Judge:
    """pocketsphinx with its own acoustic model and dictionary, listening for `words`."""

    def __init__(self, words: Sequence[str]) -> None:
        from pocketsphinx import Decoder

        probe = Decoder(lm=None, loglevel="FATAL")
        self.words = sorted({word for word in words if probe.lookup_word(word)})
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-judge-")
        model = Path(self._folder.name) / "words.arpa"
        model.write_text(unigrams(self.words), encoding="utf-8")
        self._decoder: Any = Decoder(lm=str(model), loglevel="FATAL", samprate=RATE, lw=_WORD_WEIGHT, **_FAST)

    def hear(self, audio: Audio) -> list[str]:
        """The words heard in a sound of 16 kHz."""
        quiet = np.zeros(RATE // 5, np.float32)
        samples = np.clip(np.rint(np.concatenate([quiet, audio, quiet]) * 32767), -32768, 32767).astype("<i2")
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return [word.partition("(")[0] for word in found.hypstr.split()] if found else []


def judged_sentences(count: int, seen: Collection[str]) -> tuple[list[str], Judge]:
    """Answers that were never trained on (`seen`: those that were) and that the judge knows every word of, and a
    judge that listens for all words of all of them."""
    trained = {" ".join(words_of(text)) for text in seen}
    candidates: list[str] = []
    source = VoiceTexts("test", 1).stream(answers=0.9, errors=0.1)
    while len(candidates) < 2 * count:
        text = next(source)
        if text not in candidates and len(words_of(text)) >= 3 and " ".join(words_of(text)) not in trained:
            candidates.append(text)
    ear = Judge(sorted({word for text in candidates for word in words_of(text)}))
    known = set(ear.words)
    return [text for text in candidates if set(words_of(text)) <= known][:count], ear


@dataclass(frozen=True)
class Verdict:
    """found of total words were heard; inserted: words heard beyond those said, as a share of the words said."""

    found: int
    total: int
    inserted: float
    seconds: float

    @property
    def share(self) -> float:
        return self.found / max(1, self.total)


def listen(ear: Judge, sentences: Sequence[str], voice: Voice) -> Verdict:
    """Say every sentence with `voice`, and count the words that are heard."""
    found = total = heard = 0
    seconds = 0.0
    for text in sentences:
        audio = voice(text)
        seconds += len(audio) / RATE
        wanted, got = words_of(text), ear.hear(audio)
        found += hits(wanted, got)
        total += len(wanted)
        heard += len(got)
    return Verdict(found, total, (heard - found) / max(1, total), seconds)


def espeak(text: str) -> Audio:
    """espeak-ng's default English voice at its default rate, 16 kHz."""
    with tempfile.TemporaryDirectory(prefix="noctule-espeak-") as folder:
        target = Path(folder) / "speech.wav"
        said = _without_pauses(text)
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(target), said], check=True, timeout=60)
        with wave.open(str(target)) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768.0
    out: Audio = resample(samples, rate / RATE).astype(np.float32)
    return out


def flite() -> Voice:
    """The voice that was learned from."""
    engine = FliteVoice()

    def say(text: str) -> Audio:
        said = engine.say(text)
        return np.zeros(RATE, np.float32) if said is None else said.audio

    return say
