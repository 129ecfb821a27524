"""espeak-ng in process through ctypes: hundreds of accent x variant voices at about 200 utterances a second.

The library keeps state between utterances (even its noise generator), so equal bytes need equal histories: a
helper process says one fixed list and ends. `espeak_Initialize` is called once per process in mode 2
(AUDIO_OUTPUT_SYNCHRONOUS); repeated initialisation hangs.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import re
import subprocess
from collections.abc import Sequence

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample
from noctule.core.errors import NoctuleError

_SYNCHRONOUS = 2
#: seconds for one call of the command; it takes well under one on an idle machine.
_PATIENCE = 600
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8, _PHONEMES = 1, 0x100
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def library() -> str | None:
    """The shared library's name, or None where espeak-ng is not installed."""
    return ctypes.util.find_library("espeak-ng")


@functools.cache
def variants() -> tuple[str, ...]:
    """Timbre variants (`+name`), sorted."""
    return tuple(sorted(set(re.findall(r"!v/(\S+)", _run("--voices=variant")))))


@functools.cache
def accents(language: str) -> tuple[str, ...]:
    """Voice files of a language ('en' gives gmw/en-US, gmw/en-GB-scotland …), sorted."""
    found = set()
    for line in _run(f"--voices={language}").splitlines()[1:]:
        fields = line.split()
        file = next((item for item in fields if "/" in item and not item.startswith("!") and item[0].isalpha()), "")
        if file and fields[1].split("-")[0] == language.split("-")[0] and not file.startswith("mb/"):
            found.add(file)
    return tuple(sorted(found))


def voices(language: str) -> list[str]:
    """Every accent alone and with every variant."""
    return [f"{accent}{tail}" for accent in accents(language) for tail in ("", *(f"+{v}" for v in variants()))]


def phonemes(text: str, language: str) -> str:
    """espeak's phoneme mnemonics, separated by one space inside a word and two between words."""
    voice = "en-us" if language == "en" else language
    return _run("-v", voice, "-q", "-x", "--sep= ", text).strip()


def _run(*arguments: str) -> str:
    done = subprocess.run(["espeak-ng", *arguments], capture_output=True, text=True, check=False, timeout=_PATIENCE)
    if done.returncode != 0:
        raise NoctuleError(f"espeak-ng {arguments[0]} failed: {done.stderr.strip() or f'exit {done.returncode}'}")
    return done.stdout


def script(words: Sequence[Word]) -> str:
    """Words as espeak input: spelled words as they are, phonemes inside [[ ]]."""
    return " ".join(f"[[{''.join(word.phones)}]]" if word.phones else word.text for word in words)


class Espeak:
    """The library, initialised once in this process."""

    name = "espeak"

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(library() or "libespeak-ng.so.1")
        self._rate = int(self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, 0))
        if self._rate <= 0:
            raise RuntimeError("espeak-ng does not start: its data folder is missing")
        self._pieces: list[Audio] = []
        self._callback = _CALLBACK(self._collect)  # kept alive: C holds only the pointer
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip

    def _collect(self, samples: object, count: int, _events: object) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32))  # type: ignore[arg-type]
        return 0

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        rate, pitch, spread = int(rng.uniform(95, 260)), int(rng.uniform(5, 95)), int(rng.uniform(10, 95))
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, spread)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._pieces = []
        data = script(words).encode() + b"\0"
        self._lib.espeak_Synth(data, len(data), 0, 1, 0, _UTF8 | _PHONEMES, None, None)
        self._lib.espeak_Synchronize()
        if not self._pieces:
            return None
        return resample(np.concatenate(self._pieces) / 32768.0, self._rate / 16_000)
