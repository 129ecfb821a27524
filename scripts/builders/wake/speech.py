"""Stage `speech`: banks of spoken clips. Each chunk is one helper process with its own list of things to say.

Kinds of clips: P the phrase, C a confusable, N ordinary text (the negative speech and the babble).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.common.pool import Arrays
from builders.sound.engines import Audio, Engine, Word, make_engine, spelled
from builders.sound.signal import RATE, trim
from builders.wake import confusables, corpus
from builders.wake.near_misses import held_out
from builders.wake.phonemes import Phones

#: nothing said by a working voice is shorter (s) or longer than this.
_SHORTEST, _LONGEST = 0.08, 14.0
#: engines that say phonemes, and how often they read the phrase in another way than espeak does.
_SAY_PHONES, _READ_OTHERWISE = frozenset({"espeak", "flite"}), 0.3


@dataclass(frozen=True)
class SpeechSpec:
    """What one helper process says."""

    kind: str
    #: 'engine:voice', each used in turn (shuffled).
    voices: tuple[str, ...]
    count: int
    seed: int
    #: spellings of the phrase, the first being the phrase itself.
    spellings: tuple[str, ...]
    words: tuple[Phones, ...]
    close: tuple[str, ...]
    #: part of the corpus: train, calibrate or accept.
    part: str
    #: exact texts to say in turn instead of choosing by `kind`.
    texts: tuple[str, ...] = ()
    #: other ways to read the phrase than `words`.
    readings: tuple[tuple[Phones, ...], ...] = ()


def say_chunk(spec: SpeechSpec) -> Arrays:
    """Clips of one chunk: `audio` int16 concatenated, `offsets` [clips + 1], `voice` and `text` by clip."""
    rng, choose = np.random.default_rng(spec.seed), random.Random(spec.seed)
    engines: dict[str, Engine] = {}
    order = list(spec.voices)
    choose.shuffle(order)
    clips: list[NDArray[np.int16]] = []
    voices: list[str] = []
    texts: list[str] = []
    attempts = 0
    while len(clips) < spec.count:
        attempts += 1
        if attempts > 4 * spec.count + 50:
            raise RuntimeError(f"the voices {order[:3]} … stay silent; only {len(clips)} of {spec.count} clips made")
        name = order[attempts % len(order)]
        engine, voice = name.split(":", 1)
        if engine not in engines:
            engines[engine] = make_engine(engine)
        said = _choose(spec, engine, len(clips), choose)
        clip = _usable(engines[engine].say(voice, said, rng))
        if clip is None:
            continue
        clips.append((clip * 32000).astype(np.int16))
        voices.append(name)
        texts.append(" ".join(word.text for word in said))
    for made in engines.values():
        if hasattr(made, "close"):
            made.close()
    return {
        "audio": np.concatenate(clips),
        "offsets": np.cumsum([0, *(len(clip) for clip in clips)]),
        "voice": np.array(voices),
        "text": np.array(texts),
    }


def _choose(spec: SpeechSpec, engine: str, index: int, choose: random.Random) -> Sequence[Word]:
    if spec.texts:
        return spelled(spec.texts[index % len(spec.texts)])
    if spec.kind == "P":
        if spec.readings and engine in _SAY_PHONES and choose.random() < _READ_OTHERWISE:
            return _read(spec, choose.choice(spec.readings))
        if engine == "espeak" and choose.random() < 0.3:
            return tuple(Word("", word) for word in spec.words)
        return spelled(choose.choice(spec.spellings))
    if spec.kind == "C":
        letters = spec.spellings[0].split()
        while True:
            said = confusables.random_confusable(spec.words, corpus.vocabulary(), spec.close, choose, letters,
                                                 spec.readings)  # fmt: skip
            if " ".join(word.text for word in said).lower() not in held_out():
                return said
    return spelled(corpus.sentence(spec.part, choose))


def _read(spec: SpeechSpec, reading: Sequence[Phones]) -> tuple[Word, ...]:
    """The phrase in another reading: by its letters, except the words that are read otherwise."""
    letters = spec.spellings[0].split()
    told = zip(letters, spec.words, reading, strict=True)
    return tuple(Word(text) if said == usual else Word(text, said) for text, usual, said in told)


def _usable(audio: Audio | None) -> Audio | None:
    """Trimmed and scaled to a peak of 1, or None for silence, fragments and runaways."""
    if audio is None or not np.isfinite(audio).all() or np.abs(audio).max(initial=0.0) < 0.01:
        return None
    clip = trim(audio)
    if not _SHORTEST * RATE <= len(clip) <= _LONGEST * RATE:
        return None
    return clip / np.abs(clip).max()


class Bank:
    """Clips of finished chunks, memory mapped where numpy can."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._parts = [dict(np.load(file)) for file in files]
        self._index = [(i, j) for i, part in enumerate(self._parts) for j in range(len(part["offsets"]) - 1)]

    def __len__(self) -> int:
        return len(self._index)

    def clip(self, index: int) -> Audio:
        """Clip `index` as float32, peak about 1."""
        i, j = self._index[index]
        start, end = self._parts[i]["offsets"][j : j + 2]
        return np.asarray(self._parts[i]["audio"][start:end], np.float32) / 32768.0

    def voice(self, index: int) -> str:
        i, j = self._index[index]
        return str(self._parts[i]["voice"][j])

    def text(self, index: int) -> str:
        i, j = self._index[index]
        return str(self._parts[i]["text"][j])

    def all_speech(self) -> NDArray[np.int16]:
        """Everything end to end."""
        return np.concatenate([part["audio"] for part in self._parts])
