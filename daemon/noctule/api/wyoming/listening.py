"""A wake word in sound that a Wyoming client sends: detect, audio-start, audio-chunk …, audio-stop. L4."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from noctule.api.wyoming.wire import WireMessage
from noctule.audio.chunk import RATE
from noctule.core.errors import InputError
from noctule.wake.detector import Detector
from noctule.wake.package import WakePackage

_FORMAT = {"rate": RATE, "width": 2, "channels": 1}


@dataclass
class WakeListening:
    """One client's detection. packages: the words it may ask for."""

    packages: Sequence[WakePackage]
    heard: int = 0
    _detector: Detector | None = None
    #: milliseconds, on the client's clock, at the first sample of this stream
    _began: int = 0
    _fresh: bool = True
    _rest: bytes = field(default=b"", repr=False)

    async def detect(self, message: WireMessage) -> None:
        """Load the wanted words; names null means every one. Raises InputError, ModelError."""
        names = message.data.get("names")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise InputError("names must be a list of wake words.")
        known = {package.id: package for package in self.packages}
        for name in names or ():
            if name not in known:
                raise InputError(f"There is no wake word {name[:60]!r}.", f"there are: {', '.join(known)}")
        self.close()
        wanted = [known[name] for name in dict.fromkeys(names)] if names else list(self.packages)
        self._detector = await asyncio.to_thread(Detector, wanted)
        self.start()

    def start(self) -> None:
        """A new stream begins."""
        self.heard, self._fresh, self._rest = 0, True, b""
        if self._detector is not None:
            self._detector.reset()

    async def chunk(self, message: WireMessage) -> list[WireMessage]:
        """Take sound; what was heard in it. Raises InputError."""
        if self._detector is None:
            raise InputError("Sound has come before detect.", "send detect first")
        for name, wanted in _FORMAT.items():
            if message.data.get(name) != wanted:
                raise InputError(f"Sound must be 16 kHz, 16 bit, mono: {name} is not {wanted}.")
        if self._fresh:
            at = message.data.get("timestamp")
            self._began = at if isinstance(at, int) and not isinstance(at, bool) else 0
            self._fresh = False
        sound = self._rest + message.payload
        whole = len(sound) // 2 * 2
        self._rest = sound[whole:]
        samples = np.frombuffer(sound[:whole], dtype="<i2").astype(np.int16)
        found = await asyncio.to_thread(self._detector.push, samples)
        self.heard += len(found)
        return [
            WireMessage("detection", {"name": one.word, "timestamp": self._began + round(one.time * 1000)})
            for one in found
        ]

    def close(self) -> None:
        """Free the models."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None
