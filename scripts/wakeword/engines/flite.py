"""flite in process through ctypes: about 60 times real time, a few voices that share nothing with espeak.

Phonemes are not understood here: a word given as phonemes is spoken by its `text`, which the caller spells close
to it (`phonemes.respell`). Rate varies by `duration_stretch`; the statistical voices ignore pitch settings, so
pitch varies by resampling (`augment.vary`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence

import numpy as np

from wakeword.engines import Audio, Word
from wakeword.signal import resample

#: voices that Debian's libflite1 brings, except kal16, which is kal at another rate, and a talking clock.
_KNOWN = ("awb", "rms", "slt", "kal")


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
        self._voices: dict[str, int] = {}

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
        wave = self._lib.flite_text_to_wave(" ".join(word.text for word in words).encode(), handle)
        if not wave:
            return None
        count, rate = int(wave.contents.count), int(wave.contents.rate)
        samples = np.ctypeslib.as_array(wave.contents.samples, (count,)).astype(np.float32) / 32768.0
        self._lib.delete_wave(wave)
        return resample(samples, rate / 16_000)
