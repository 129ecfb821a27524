"""RHVoice in process through ctypes: statistical voices that share no recordings with flite's, and tell word times.

Debian has it in non-free, because the data that the voices were trained on is not in the package; the three voices
used here are under the LGPL. Its other English voices are left alone: slt is a speaker that is kept for tests, the
rest may not be used commercially. Phonemes are not understood: see `flite.py`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample

_DATA = Path("/usr/share/RHVoice")
_KNOWN = ("alan", "bdl", "clb")

_RATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_SPEECH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_uint, ctypes.c_void_p)
_SPAN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


class _Callbacks(ctypes.Structure):
    """RHVoice.h, RHVoice_callbacks; what is not used stays null."""

    _fields_ = (
        ("set_sample_rate", _RATE), ("play_speech", _SPEECH), ("process_mark", ctypes.c_void_p),
        ("word_starts", _SPAN), ("word_ends", _SPAN), ("sentence_starts", ctypes.c_void_p),
        ("sentence_ends", ctypes.c_void_p), ("play_audio", ctypes.c_void_p), ("done", ctypes.c_void_p),
    )  # fmt: skip


class _Start(ctypes.Structure):
    """RHVoice.h, RHVoice_init_params."""

    _fields_ = (
        ("data_path", ctypes.c_char_p), ("config_path", ctypes.c_char_p), ("resource_paths", ctypes.c_void_p),
        ("callbacks", _Callbacks), ("options", ctypes.c_uint),
    )  # fmt: skip


class _Manner(ctypes.Structure):
    """RHVoice.h, RHVoice_synth_params."""

    _fields_ = (
        ("voice_profile", ctypes.c_char_p),
        *((f"absolute_{name}", ctypes.c_double) for name in ("rate", "pitch", "volume")),
        *((f"relative_{name}", ctypes.c_double) for name in ("rate", "pitch", "volume")),
        ("punctuation_mode", ctypes.c_int), ("punctuation_list", ctypes.c_char_p), ("capitals_mode", ctypes.c_int),
        ("flags", ctypes.c_int),
    )  # fmt: skip


def library() -> str | None:
    """The library's file name, or None where it is not installed."""
    return ctypes.util.find_library("RHVoice")


def voices() -> list[str]:
    """Those of the known English voices that are installed."""
    if library() is None:
        return []
    return [name for name in _KNOWN if (_DATA / "voices" / name).is_dir()]


class Rhvoice:
    """One engine of this process; every utterance goes through callbacks."""

    name = "rhvoice"

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(library() or "libRHVoice.so.5")
        self._rate = 24_000
        self._pieces: list[Audio] = []
        self._samples = 0
        self._starts: list[tuple[int, int]] = []
        self._ends: list[tuple[int, int]] = []
        self._calls = _Callbacks(
            _RATE(self._on_rate), _SPEECH(self._on_speech), None, _SPAN(self._on_start), _SPAN(self._on_end)
        )
        self._lib.RHVoice_new_tts_engine.restype = ctypes.c_void_p
        self._lib.RHVoice_new_tts_engine.argtypes = [ctypes.POINTER(_Start)]
        self._lib.RHVoice_new_message.restype = ctypes.c_void_p
        self._lib.RHVoice_new_message.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_int, ctypes.POINTER(_Manner), ctypes.c_void_p,
        ]  # fmt: skip
        self._lib.RHVoice_speak.argtypes = [ctypes.c_void_p]
        self._lib.RHVoice_delete_message.argtypes = [ctypes.c_void_p]
        start = _Start(str(_DATA).encode(), b"/etc/RHVoice", None, self._calls, 0)
        self._engine = self._lib.RHVoice_new_tts_engine(ctypes.byref(start))
        if not self._engine:
            raise RuntimeError("RHVoice does not start")

    def _on_rate(self, rate: int, _: object) -> int:
        self._rate = rate
        return 1

    def _on_speech(self, samples: object, count: int, _: object) -> int:
        self._pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768.0)  # type: ignore[arg-type]
        self._samples += count
        return 1

    def _on_start(self, position: int, _: int, __: object) -> int:
        self._starts.append((position, self._samples))
        return 1

    def _on_end(self, position: int, length: int, __: object) -> int:
        self._ends.append((position, self._samples))
        return 1

    def timed(
        self, voice: str, text: str, pace: float, pitch: float
    ) -> tuple[Audio, list[tuple[float, float]]] | None:
        """Speech at 16 kHz and when each word of `text` begins and ends, in seconds; None when words were joined or
        divided on the way. pace, pitch: 1 is the voice's own."""
        self._pieces, self._samples, self._starts, self._ends = [], 0, [], []
        manner = _Manner(voice.encode(), 0, 0, 0, pace, pitch, 1, 0, None, 0, 0)
        data = text.encode()
        message = self._lib.RHVoice_new_message(self._engine, data, len(data), 0, ctypes.byref(manner), None)
        if not message:
            return None
        said = self._lib.RHVoice_speak(message)
        self._lib.RHVoice_delete_message(message)
        if not said or not self._pieces or {len(self._starts), len(self._ends)} != {len(text.split())}:
            return None
        audio = resample(np.concatenate(self._pieces), self._rate / 16_000)
        times = [(a / self._rate, b / self._rate) for (_, a), (_, b) in zip(self._starts, self._ends, strict=True)]
        return audio.astype(np.float32), times

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        pace, pitch = float(rng.uniform(0.75, 1.35)), float(rng.uniform(0.75, 1.35))
        self.timed(voice, " ".join(word.text for word in words), pace, pitch)
        if not self._pieces:
            return None
        return resample(np.concatenate(self._pieces), self._rate / 16_000)
