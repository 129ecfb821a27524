"""The one voice: flite's slt, in this process, with the exact time of every word.

flite keeps an utterance's relations (Token, Word, SylStructure, Segment; flite's own `cst_utterance.h`), so that the
times of a word's first and last sound are read and not guessed. The same text always gives the same sound.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from dataclasses import dataclass

import numpy as np

from builders.sound.engines.flite import _Voice, _Wave
from builders.speech.clips import RATE, Audio, Span

VOICE = "slt"
#: a little slower than flite's own pace, for clearness
STRETCH = 1.06
_PAUSE = re.compile(r"<[^>]*>")
_BEGIN = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_END = b"R:SylStructure.daughtern.daughtern.R:Segment.end"


@dataclass(frozen=True)
class Spoken:
    """audio: float32 16 kHz; words: what was said, with times; pauses: seconds of pause wanted after each word."""

    audio: Audio
    words: tuple[Span, ...]
    pauses: tuple[float, ...]


class FliteVoice:
    """The library with the one voice."""

    def __init__(self, voice: str = VOICE, stretch: float = STRETCH) -> None:
        libraries = [ctypes.util.find_library(name) for name in ("flite", "flite_usenglish", "flite_cmulex")]
        place = ctypes.util.find_library(f"flite_cmu_us_{voice}")
        if None in libraries or place is None:
            raise RuntimeError("flite's libraries are missing: apt install flite")
        self._lib, *_ = (ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) for name in libraries)
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float
        for name, result, arguments in (
            ("flite_init", ctypes.c_int, []),
            ("flite_synth_text", pointer, [text, pointer]),
            ("utt_relation", pointer, [pointer, text]),
            ("utt_wave", ctypes.POINTER(_Wave), [pointer]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("item_daughter", pointer, [pointer]),
            ("item_feat_string", text, [pointer, text]),
            ("flite_ffeature_float", number, [pointer, text]),
            ("feat_set_float", None, [pointer, text, number]),
            ("delete_utterance", None, [pointer]),
        ):
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments
        self._lib.flite_init()
        register = getattr(ctypes.CDLL(place), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = pointer, [pointer]
        self._voice = int(register(None))
        self._lib.feat_set_float(_Voice.from_address(self._voice).features, b"duration_stretch", stretch)

    def say(self, text: str) -> Spoken | None:
        """A text in the spoken form (`lm.speech.text_normalisation`); None when flite reads it as other words."""
        words: list[str] = []
        pauses: list[float] = []
        for token in re.findall(r"<[^>]*>|[^\s<]+", text):
            if token.startswith("<"):
                pauses[-1] = float(token.split('"')[1][:-1])
            else:
                words.append(token)
                pauses.append(0.0)
        written = " ".join(word + ("," if pause else "") for word, pause in zip(words, pauses, strict=True))
        utterance = self._lib.flite_synth_text(written.encode("ascii"), self._voice)
        if not utterance:
            return None
        try:
            spans = self._spans(utterance, words)
            wave = self._lib.utt_wave(utterance).contents
            rate = int(wave.rate)
            audio = np.ctypeslib.as_array(wave.samples, (int(wave.count),)).astype(np.float32) / 32768.0
        finally:
            self._lib.delete_utterance(utterance)
        return None if spans is None or rate != RATE else Spoken(audio, tuple(spans), tuple(pauses))

    def _spans(self, utterance: int, words: list[str]) -> list[Span] | None:
        spans: list[Span] = []
        token = self._lib.relation_head(self._lib.utt_relation(utterance, b"Token"))
        while token:
            word = self._lib.item_daughter(token)
            if not word or len(spans) == len(words):
                return None
            begin = float(self._lib.flite_ffeature_float(word, _BEGIN))
            end = begin
            while word:  # "what's" is two words to flite
                end = float(self._lib.flite_ffeature_float(word, _END))
                word = self._lib.item_next(word)
            if not 0.02 < end - begin < 2.5 or (spans and begin < spans[-1].end - 1e-3):
                return None
            spans.append(Span(words[len(spans)], begin, end))
            token = self._lib.item_next(token)
        return spans if len(spans) == len(words) else None
