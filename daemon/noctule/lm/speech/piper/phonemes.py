"""Text → the numbers a Piper voice was trained on, as Piper's own front end makes them.

espeak-ng's IPA taken apart into code points (NFD), the clause's punctuation behind it, a blank after a comma, colon
or semicolon; `^` before, `$` behind, and the pad between all of them. `[[ … ]]` in a text is phonemes already.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from noctule.lm.speech.piper.espeak import Espeak
from noctule.lm.speech.piper.settings import VoiceSettings

PAD, BEGIN, END = "_", "^", "$"
_GIVEN = re.compile(r"(\[\[.*?\]\])")
#: "(en)" … "(fr)" around words of another language
_SWITCH = re.compile(r"\([^)]+\)")
_PAUSES = (",", ":", ";")


class Phonemizer:
    """For one voice. `unknown` counts phonemes the voice does not have, which are left out."""

    def __init__(self, settings: VoiceSettings, espeak: Espeak) -> None:
        self._settings, self._espeak = settings, espeak
        self._longest = max((len(cluster) for cluster in settings.clusters), default=0)
        self.unknown = 0

    def sentences(self, text: str) -> list[list[str]]:
        """The phonemes of each sentence. Raises UnavailableError, ModelError."""
        if self._settings.phoneme_type == "text":
            return [list(unicodedata.normalize("NFD", text))]
        out: list[list[str]] = []
        parts = _GIVEN.split(text)
        joins = False
        for number, part in enumerate(parts):
            if part.startswith("[["):
                out = out or [[]]
                before, after = parts[number - 1] if number else "", "".join(parts[number + 1 : number + 2])
                own = [*part[2:-2].strip()]
                out[-1] += [" "] * before.endswith(" ") + own + [" "] * after.startswith(" ")
                joins = True
                continue
            found = self._read(part)
            if joins and found:
                out[-1] += found.pop(0)
            out += found
            joins = False
        return [sentence for sentence in out if sentence]

    def _read(self, text: str) -> list[list[str]]:
        out: list[list[str]] = []
        sentence: list[str] = []
        for clause in self._espeak.clauses(self._settings.language, text):
            phonemes = _SWITCH.sub("", clause.phonemes) + clause.mark + " " * (clause.mark in _PAUSES)
            sentence += unicodedata.normalize("NFD", phonemes)
            if clause.ends:
                out.append(self._clustered(sentence))
                sentence = []
        return [*out, self._clustered(sentence)] if sentence else out

    def _clustered(self, phonemes: list[str]) -> list[str]:
        """Neighbours that are one phoneme of this voice, joined; the longest first."""
        if not self._longest:
            return phonemes
        out: list[str] = []
        at = 0
        while at < len(phonemes):
            longest = min(self._longest, len(phonemes) - at)
            sizes = (n for n in range(longest, 1, -1) if tuple(phonemes[at : at + n]) in self._settings.clusters)
            size = next(sizes, 1)
            out.append("".join(phonemes[at : at + size]))
            at += size
        return out

    def ids(self, phonemes: Iterable[str]) -> list[int]:
        """Their numbers, with begin, end and pads."""
        table = self._settings.phonemes
        pad = table[PAD]
        out = [*table[BEGIN], *pad]
        for phoneme in phonemes:
            known = table.get(phoneme)
            if known is None:
                self.unknown += 1
                continue
            out += [*known, *pad]
        return [*out, *table[END]]
