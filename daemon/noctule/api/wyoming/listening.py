"""A wake word in sound that a Wyoming client sends: detect, audio-start, audio-chunk …, audio-stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noctule.api.wyoming.wire import WireMessage
from noctule.audio.convert import PcmTo16k
from noctule.core.errors import InputError
from noctule.wake.detector import Detector
from noctule.wake.package import WakePackage


def before_detect() -> InputError:
    """Sound that nobody was told what to listen for in."""
    return InputError("Sound has come before detect.", "send detect first")


@dataclass
class WakeListening:
    """One client's detection. packages: the words it may ask for."""

    packages: Sequence[WakePackage]
    warn: Callable[[str], None] = lambda sentence: None
    heard: int = 0
    _detector: Detector | None = None
    #: milliseconds, on the client's clock, at the first sample of this stream
    _began: int = 0
    _fresh: bool = True
    _converter: PcmTo16k | None = None

    async def detect(self, message: WireMessage) -> None:
        """Load the wanted words; names null means every one. Raises InputError, ModelError."""
        names = message.data.get("names")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise InputError("names must be a list of wake words.")
        known = {package.id: package for package in self.packages}
        unknown = ", ".join(repr(name[:60]) for name in dict.fromkeys(names or ()) if name not in known)
        there = f"there are: {', '.join(known)}"
        wanted = [known[name] for name in dict.fromkeys(names or known) if name in known]
        if not wanted:
            raise InputError(f"There is no wake word {unknown}.", there)
        if unknown:
            self.warn(f"A Wyoming client asks for a wake word that is not here: {unknown}; {there}")
        self.close()
        self._detector = await asyncio.to_thread(Detector, wanted)
        self.start()

    def start(self) -> None:
        """A new stream begins."""
        self.heard, self._fresh, self._converter = 0, True, None
        if self._detector is not None:
            self._detector.reset()

    async def chunk(self, message: WireMessage) -> list[WireMessage]:
        """Take sound; what was heard in it. Raises InputError."""
        if self._detector is None:
            raise before_detect()
        converter = self._converted(message)
        if self._fresh:
            at = message.data.get("timestamp")
            self._began = at if isinstance(at, int) and not isinstance(at, bool) else 0
            self._fresh = False
        samples = converter.push(message.payload)
        found = await asyncio.to_thread(self._detector.push, samples)
        self.heard += len(found)
        return [
            WireMessage("detection", {"name": one.word, "timestamp": self._began + round(one.time * 1000)})
            for one in found
        ]

    def _converted(self, message: WireMessage) -> PcmTo16k:
        """What reads the sound in the client's own format."""
        form = [message.data.get(name) for name in ("rate", "width", "channels")]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in form):
            raise InputError("An audio-chunk must say its rate, width and channels.")
        rate, width, channels = (int(str(value)) for value in form)
        if self._converter is None or self._converter.format != (rate, width, channels):
            self._converter = PcmTo16k(rate, width, channels)
        return self._converter

    def close(self) -> None:
        """Free the models."""
        if self._detector is not None:
            self._detector.close()
            self._detector = None
