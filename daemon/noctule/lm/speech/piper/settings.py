"""What a voice package says of itself, checked: section "voice" of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import Manifest

#: the manifest's kind of a package that holds a voice of this family
KIND = "voice"
FAMILY = "piper"
PHONEME_TYPES = ("espeak", "text")


@dataclass(frozen=True)
class Stage:
    """One upsampling of the decoder: its steps of a frame, and the steps of margin of its mask on either side."""

    scale: int
    margin: int


@dataclass(frozen=True)
class VoiceSettings:
    """rate in Hz; hop in samples a frame; margin and delay in frames; speakers: name → number, empty for one."""

    rate: int
    hop: int
    channels: int
    language: str
    phoneme_type: str
    phonemes: Mapping[str, tuple[int, ...]]
    speakers: Mapping[str, int]
    speaker_count: int
    default_speaker: int
    noise_scale: float
    length_scale: float
    noise_w: float
    encode: tuple[int, ...]
    flow: tuple[int, ...]
    decode: tuple[int, ...]
    delay: int
    margin: int
    stages: tuple[Stage, ...]
    golden: Mapping[str, Any]
    #: vowels that this voice has as one phoneme though espeak-ng writes two signs
    clusters: frozenset[tuple[str, ...]] = field(default_factory=frozenset)

    @classmethod
    def of(cls, manifest: Manifest) -> VoiceSettings:
        """Raises ModelError."""
        where = f"{manifest.folder / 'manifest.json'}: voice"
        table = manifest.raw["voice"]
        try:
            if table["family"] != FAMILY:
                raise ModelError(f"{where}: family: this version speaks with {FAMILY!r}, found {table['family']!r}.")
            fields: dict[str, Any] = {
                **{key: int(table[key]) for key in ("rate", "hop", "channels", "delay", "margin", "default_speaker")},
                **{key: float(table[key]) for key in ("noise_scale", "length_scale", "noise_w")},
                **{key: tuple(sorted(int(n) for n in table[key])) for key in ("encode", "flow", "decode")},
                "language": str(table["language"]),
                "phoneme_type": str(table["phoneme_type"]),
                "phonemes": {str(key): tuple(int(n) for n in ids) for key, ids in table["phonemes"].items()},
                "speakers": {str(key): int(n) for key, n in table["speakers"].items()},
                "speaker_count": int(table["speaker_count"]),
                "stages": tuple(Stage(int(scale), int(margin)) for scale, margin in table["stages"]),
                "golden": dict(table["golden"]),
                "clusters": frozenset(tuple(str(sign) for sign in cluster) for cluster in table["clusters"]),
            }
            settings = cls(**fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{where}: cannot be read ({type(error).__name__}: {error}).") from None
        numbers = (settings.hop, settings.channels, settings.speaker_count, *settings.encode, *settings.decode)
        if min(numbers) < 1 or not settings.flow or not settings.stages or not 8000 <= settings.rate <= 48000:
            raise ModelError(f"{where}: its sizes make no voice.")
        if settings.phoneme_type not in PHONEME_TYPES or not {"_", "^", "$"} <= settings.phonemes.keys():
            raise ModelError(f"{where}: its phonemes make no voice.")
        return settings

    def speaker(self, wanted: str) -> int:
        """The number of a speaker named or numbered; "" for the default. Raises InputError."""
        if not wanted:
            return self.default_speaker
        number = self.speakers.get(wanted)
        if number is None and wanted.isascii() and wanted.isdigit():
            number = int(wanted)
        if number is None or not 0 <= number < self.speaker_count:
            some = ", ".join(list(self.speakers)[:8]) or f"0 to {self.speaker_count - 1}"
            raise InputError(f"This voice has no speaker {wanted!r}; it has {some}.", "see speech.speaker")
        return number
