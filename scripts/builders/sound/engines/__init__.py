"""Speech engines behind one small interface, and the list of voices that this machine offers.

Every engine answers `say(voice, words, rng)` with float32 mono at 16 kHz. It runs inside a helper process of its
own (see `pool.py`): the C libraries keep global state, and one that crashes takes only its chunk with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """One word to say: as it is spelled, or as espeak phonemes when `phones` is given."""

    text: str
    phones: tuple[str, ...] = ()


def spelled(text: str) -> tuple[Word, ...]:
    """Plain text as words."""
    return tuple(Word(item) for item in text.split())


class Engine(Protocol):
    """A speech synthesiser."""

    name: str

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        """Speak with a random but seeded rate, pitch and range; None when this voice cannot say it."""


@dataclass(frozen=True)
class Voices:
    """The voices of this machine by engine, each 'engine:voice' once."""

    espeak: tuple[str, ...] = ()
    flite: tuple[str, ...] = ()
    festival: tuple[str, ...] = ()
    rhvoice: tuple[str, ...] = ()
    pico: tuple[str, ...] = ()
    mbrola: tuple[str, ...] = ()
    piper: tuple[str, ...] = ()

    def all(self) -> list[str]:
        return [f"{engine}:{voice}" for engine, voices in vars(self).items() for voice in voices]


def find_voices(language: str, piper: Sequence[Path] = ()) -> Voices:
    """What is installed. Only espeak-ng and piper speak other languages than English here."""
    from builders.sound.engines import espeak, festival, flite, mbrola, pico, rhvoice

    english = language.split("-")[0] == "en"
    return Voices(
        espeak=tuple(espeak.voices(language)),
        flite=tuple(flite.voices()) if english else (),
        festival=tuple(festival.voices()) if english and shutil.which("festival") else (),
        rhvoice=tuple(rhvoice.voices()) if english else (),
        pico=tuple(pico.voices()) if english else (),
        mbrola=tuple(mbrola.voices()) if english else (),
        piper=tuple(str(path.resolve()) for path in piper),
    )


def make_engine(name: str) -> Engine:
    """A fresh engine of this process."""
    if name == "espeak":
        from builders.sound.engines.espeak import Espeak

        return Espeak()
    if name == "flite":
        from builders.sound.engines.flite import Flite

        return Flite()
    if name == "festival":
        from builders.sound.engines.festival import Festival

        return Festival()
    if name == "rhvoice":
        from builders.sound.engines.rhvoice import Rhvoice

        return Rhvoice()
    if name == "pico":
        from builders.sound.engines.pico import Pico

        return Pico()
    if name == "mbrola":
        from builders.sound.engines.mbrola import Mbrola

        return Mbrola()
    if name == "piper":
        from builders.sound.engines.piper import Piper

        return Piper()
    raise ValueError(f"unknown speech engine {name!r}")
