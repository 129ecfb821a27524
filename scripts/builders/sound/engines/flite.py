"""flite in process through ctypes: about 60 times real time, a few voices that share nothing with espeak.

A word given as espeak phonemes is put into the voice's lexicon in flite's own (`arpabet`) and said as a word; one
with a phoneme that flite does not have is spoken by its `text`, which the caller spells close to it
(`phonemes.respell`). Spelling alone will not do: flite reads "ohkay" as "oak", and what is meant as "okay" then
teaches the network nonsense. Rate varies by `duration_stretch`; the statistical voices ignore pitch settings, so
pitch varies by resampling (`augment.vary`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample

#: voices that Debian's libflite1 brings, except kal16, which is kal at another rate, and a talking clock.
_KNOWN = ("awb", "rms", "slt", "kal")

#: espeak's mnemonics as flite's phones; a vowel's stress is added as a digit.
_VOWELS = {
    "a": "ae", "aa": "ae", "A:": "aa", "A@": "aa r", "E": "eh", "e@": "eh r", "eI": "ey", "I": "ih", "I2": "ih",
    "i": "iy", "i:": "iy", "i@": "iy r", "0": "aa", "O:": "ao", "O": "ao", "O@": "ao r", "o@": "ao r", "oU": "ow",
    "U": "uh", "u:": "uw", "u": "uw", "U@": "uh r", "V": "ah", "3:": "er", "3": "er", "@": "ax", "@L": "ax l",
    "aI": "ay", "aU": "aw", "OI": "oy", "I@": "ih r",
}  # fmt: skip
_CONSONANTS = {
    "tS": "ch", "dZ": "jh", "T": "th", "D": "dh", "S": "sh", "Z": "zh", "N": "ng", "j": "y", "h": "hh", "t2": "t",
    **{same: same for same in ("p", "b", "t", "d", "k", "g", "f", "v", "s", "z", "m", "n", "l", "r", "w")},
}  # fmt: skip


def arpabet(phones: Sequence[str]) -> list[str] | None:
    """espeak's phones as flite's, stress digits on vowels; None when flite has no such phone or no vowel is said."""
    out: list[str] = []
    for phone in phones:
        plain = phone.lstrip("',%=_|")
        if not plain:
            continue
        if plain in _VOWELS:
            first, *more = _VOWELS[plain].split()
            stressed = "'" in phone
            out += [("ah" if stressed and first == "ax" else first) + ("1" if stressed else "0"), *more]
        elif plain in _CONSONANTS:
            out.append(_CONSONANTS[plain])
        else:
            return None
    vowels = [index for index, phone in enumerate(out) if phone[-1] in "01"]
    if not vowels:
        return None
    if all(out[index][-1] == "0" for index in vowels):
        out[vowels[0]] = out[vowels[0]][:-1].replace("ax", "ah") + "1"
    return out


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Voice(ctypes.Structure):
    """The head of `cst_voice`, all that is needed to reach its features."""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


def voices() -> list[str]:
    """Installed voices, in a fixed order."""
    return [name for name in _KNOWN if ctypes.util.find_library(f"flite_cmu_us_{name}")]


class Flite:
    """The library with the voices that were asked for so far."""

    name = "flite"

    def __init__(self) -> None:
        libraries = [ctypes.util.find_library(name) for name in ("flite", "flite_usenglish", "flite_cmulex")]
        if None in libraries:
            raise RuntimeError("flite's libraries are missing: apt install flite")
        self._lib, *_ = (ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) for name in libraries)
        self._lib.flite_init()
        self._lib.flite_text_to_wave.restype = ctypes.POINTER(_Wave)
        self._lib.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        self._lib.delete_wave.argtypes = [ctypes.POINTER(_Wave)]
        self._lib.feat_set_float.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float]
        self._lib.flite_voice_add_lex_addenda.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._voices: dict[str, int] = {}
        self._made_up = 0
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-flite-")

    def _voice(self, name: str) -> int:
        if name not in self._voices:
            register = getattr(
                ctypes.CDLL(ctypes.util.find_library(f"flite_cmu_us_{name}")), f"register_cmu_us_{name}"
            )
            register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            self._voices[name] = int(register(None))
        return self._voices[name]

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        stretch, pitch = float(np.exp(rng.uniform(np.log(0.75), np.log(1.4)))), float(rng.uniform(80, 180))
        handle = self._voice(voice)
        features = _Voice.from_address(handle).features
        self._lib.feat_set_float(features, b"duration_stretch", stretch)
        self._lib.feat_set_float(features, b"int_f0_target_mean", pitch)
        text = " ".join(self._entry(handle, word) for word in words)
        wave = self._lib.flite_text_to_wave(text.encode(), handle)
        if not wave:
            return None
        count, rate = int(wave.contents.count), int(wave.contents.rate)
        samples = np.ctypeslib.as_array(wave.contents.samples, (count,)).astype(np.float32) / 32768.0
        self._lib.delete_wave(wave)
        return resample(samples, rate / 16_000)

    def _entry(self, handle: int, word: Word) -> str:
        """What to write for a word: its text, or a made-up name under which its phones stand in the lexicon."""
        phones = arpabet(word.phones)
        if phones is None:
            return word.text
        # A name that no text contains, with a vowel in every syllable: flite spells out what it takes for letters.
        name, number = "zobu", self._made_up
        for _ in range(4):
            name, number = name + "bdfgklmnpv"[number % 10] + "a", number // 10
        self._made_up += 1
        path = Path(self._folder.name) / "word"
        path.write_text(f"{name} : {' '.join(phones)}\n", encoding="ascii")
        self._lib.flite_voice_add_lex_addenda(handle, str(path).encode())
        return name

    def close(self) -> None:
        self._folder.cleanup()
