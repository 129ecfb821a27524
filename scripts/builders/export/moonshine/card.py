"""The card and the licence that lie in the package of Moonshine Tiny English."""

from __future__ import annotations

import zipfile
from pathlib import Path

_LICENCE = "licenses/LICENSE"

CARD = """# moonshine-tiny-en

Speech to text for English: Moonshine Tiny, 27.1 million parameters, by Useful Sensors (now Moonshine AI), trained on
about 200,000 hours of people speaking. It hears 16 kHz mono sound.

- Licence: MIT (the file LICENSE beside this one).
- Origin: the `.ort` files and the tokenizer of the Python package {release}, whose weights are quantised to 8 bits.
- Paper: Jeffries et al., *Moonshine: Speech Recognition for Live Transcription and Voice Commands*, arXiv 2410.15608.
- Made by `scripts/import_moonshine.py`: the weights' own 8-bit grid is kept wherever a row fits int8; nothing was
  trained or tuned here.

What it does well and badly, with numbers and the commands that show them: docs/recogniser.md.

It writes something for every sound, also for silence and for knocks ("You"). What it writes is therefore never acted
on by itself: see docs/recogniser.md, "What is not believed".
"""


def licence_of(wheel: Path) -> str:
    """The licence text that the wheel carries, "" when it has none."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if name.endswith(_LICENCE)]
        return archive.read(found[0]).decode("utf-8", "replace") if found else ""
