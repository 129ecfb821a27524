"""What recognisers write where nobody spoke.

Whisper and its kin describe sounds ("[BLANK_AUDIO]", "(music)", "*coughs*", "♪") and, in silence, fall back on what
ends the subtitles they were trained on ("Thank you."). A description is never a word; a phrase of subtitles is none
where no sound stands out from the room.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_DESCRIBED = re.compile(
    r"\[[^\]\n]*\]|\([^)\n]*\)|（[^）\n]*）|【[^】\n]*】|\*[^*\n]+\*|♪[^♪\n]*♪?|♫|<\|[^|\n]*\|>|<[a-z]+>"
)
_SUBTITLES = frozenset(
    {
        "thank you", "thank you so much", "thank you very much", "thanks", "thanks for watching", "you", "bye",
        "bye bye", "thank you for watching", "please subscribe", "so", "the end", "oh", "okay", "hmm", "i'm sorry",
        "subtitles by the amara.org community", "subscribe", "untertitel der amara.org-community", "vielen dank",
        "merci d'avoir regardé cette vidéo", "gracias por ver el video", "abone olmayı unutmayın",
        "продолжение следует", "ご視聴ありがとうございました", "ありがとうございました", "おやすみなさい",
        "시청해주셔서 감사합니다", "谢谢观看",
    }
)  # fmt: skip
#: dB by which speech stands above the quiet of the same recording, and dB of full scale below which nothing is heard.
_ABOVE, _SILENT = 10.0, -62.0
#: samples of a look, 30 ms at 16 kHz.
_LOOK = 480


class RoomMeter:
    """Whether anything stood out in a stream of int16 samples at 16 kHz."""

    def __init__(self) -> None:
        self._levels: list[float] = []
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)

    def feed(self, samples: NDArray[np.int16]) -> None:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // _LOOK * _LOOK
        self._rest = samples[whole:]
        looks = samples[:whole].reshape(-1, _LOOK).astype(np.float32) / np.float32(32768)
        power = np.square(looks - looks.mean(axis=1, keepdims=True)).mean(axis=1) if len(looks) else np.zeros(0)
        self._levels += [float(level) for level in 10 * np.log10(power + 1e-12)]

    @property
    def loudest(self) -> float:
        """dB of full scale."""
        return max(self._levels, default=-120.0)

    @property
    def spoken(self) -> bool:
        """Whether it can have been speech."""
        if self.loudest < _SILENT:
            return False
        return self.loudest - float(np.percentile(self._levels, 20)) >= _ABOVE


def real_words(text: str, room: RoomMeter) -> str:
    """What of a recogniser's text was said."""
    words = re.sub(r"\s+", " ", _DESCRIBED.sub(" ", text)).strip()
    if not re.search(r"\w", words) or room.loudest < _SILENT:
        return ""
    if not room.spoken and re.sub(r"[.!?,。！…\s]+$", "", words).lower() in _SUBTITLES:
        return ""
    return words
