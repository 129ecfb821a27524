"""What wakes a session."""

from __future__ import annotations

from typing import Protocol


class Heard(Protocol):
    """What the detector reports (see wake.detector.Detection)."""

    @property
    def word(self) -> str: ...
    @property
    def phrase(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def threshold(self) -> float: ...
