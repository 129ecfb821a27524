"""The README.md of a voice's package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builders.export.piper.checkpoint import Voice

if TYPE_CHECKING:
    from builders.export.piper.package import Options
    from builders.export.piper.reference import Gap

_TEXT = """# {name}

A Piper voice for `noctule`: {language}, {speakers}, {rate} Hz. Imported from `{file}`; it speaks what that file
speaks, on the TFLite runtime, without onnxruntime.

{notes}
| | |
|---|---|
| licence | {licence} |
| source | {source} |
| weights | encoder {encoder}, flow {flow}, decoder {decoder} |
| off the original, without noise | encoder {gap_encoder:.2%}, sound {gap_sound:.3%} of the largest, on average |
| build | `{build}` |

Phonemes are made by espeak-ng (GPL-3), which is a program of the system and no part of this package.
"""


def card(voice: Voice, options: Options, gap: Gap) -> str:
    """What a person should know of the package."""
    count = voice.speakers
    notes = "".join(f"- {note}\n" for note in options.notes)
    return _TEXT.format(
        name=options.name,
        language=voice.config["espeak"]["voice"],
        speakers="one speaker" if count == 1 else f"{count} speakers",
        rate=voice.config["audio"]["sample_rate"],
        file=voice.path.name,
        notes=f"{notes}\n" if notes else "",
        licence=options.licence,
        source=options.source or voice.path.name,
        encoder=options.encoder,
        flow=options.flow,
        decoder=options.decoder,
        gap_encoder=gap.encoder,
        gap_sound=gap.sound,
        build=options.build,
    )
