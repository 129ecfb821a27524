"""What of the ears outlives a restart: muted by hand, thresholds set by hand.

Whoever mutes a microphone does not expect a crash, an update or a power cut to open it again.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

from noctule.core.events import Bus
from noctule.core.state_file import StateFile

FORMAT = 1


class EarMemory:
    """folder: the service's state folder. What a call remembers is on the disk when it returns, or is said not to."""

    def __init__(self, folder: Path, bus: Bus) -> None:
        self._file = StateFile(folder / "ears.json", bus, "ears")
        self._lock = threading.Lock()
        self.muted = False
        #: word -> threshold set by hand
        self.thresholds: dict[str, float] = {}
        known = self._file.read(_parse)
        if known is not None:
            self.muted, self.thresholds = known

    def mute(self, on: bool) -> bool:
        """Remember it; False, and said, when it could not be kept."""
        with self._lock:
            if self.muted == on:
                return True
            self.muted = on
            return self._keep("The microphone's state")

    def threshold(self, word: str, value: float | None) -> bool:
        """Remember a word's threshold, or forget it; False, and said, when it could not be kept."""
        with self._lock:
            if value is None:
                self.thresholds.pop(word, None)
            else:
                self.thresholds[word] = value
            return self._keep("The threshold")

    def _keep(self, what: str) -> bool:
        return self._file.keep({"format": FORMAT, "muted": self.muted, "thresholds": self.thresholds}, what)


def _parse(data: dict[str, Any]) -> tuple[bool, dict[str, float]]:
    if data["format"] != FORMAT or not isinstance(data["muted"], bool) or not isinstance(data["thresholds"], dict):
        raise ValueError("unknown format")
    thresholds = {str(word): float(value) for word, value in data["thresholds"].items()}
    if len(thresholds) > 64 or not all(math.isfinite(v) and 0 <= v <= 1 for v in thresholds.values()):
        raise ValueError("no thresholds")
    return data["muted"], thresholds
