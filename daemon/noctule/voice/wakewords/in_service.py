"""The wake words in service: which are wanted, how they are loaded and tried, how others take their place.

Wanted is `wake.words` of the configuration in force, with words chosen by hand above it (`noctule wake use`). Other
words are verified, loaded and tried beside those that listen, which go on listening; then the ears change over
between two blocks of sound. Whatever is wrong with the new ones changes nothing, and is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from noctule.audio.chunk import RATE
from noctule.config import Config
from noctule.core.errors import InputError, ModelError, NoctuleError, UnavailableError
from noctule.core.events import Bus
from noctule.inference.find import places
from noctule.voice.wakewords.memory import EarMemory
from noctule.wake.detector import Detector
from noctule.wake.package import WakePackage, load_package

#: most words at once, as in the configuration.
MOST = 8
#: seconds of silence, and then of a quiet room's hiss, in which new words must not be heard; longer than any warm-up.
QUIET = 4.0
#: the hiss, in steps of a 16-bit sample: about -72 dB of full scale.
HISS = 8.0


def find_wake_word(name: str, folders: Sequence[Path]) -> WakePackage:
    """A package by name in the model folders, or by path. Raises ModelError."""
    looked = places(name, folders)
    here = [Path(name)] if "/" in name else []
    for place in (*here, *looked):
        # a folder of its own, or as communities publish them: NAME.json beside NAME.tflite
        for file in (place, place.with_name(f"{place.name}.json")):
            if file.exists():
                return load_package(file)
        if place.with_name(f"{place.name}.tflite").exists():
            raise ModelError(
                f"{place}.tflite has no {place.name}.json beside it.", "both files are published together"
            )
    where = ", ".join(str(place.parent) for place in looked)
    raise ModelError(f"There is no wake word {Path(name).name} in {where}.", "see wake.words and service.models")


def try_out(detector: Detector) -> None:
    """Run every word over silence and hiss: the graph computes, and hears nothing there. Raises ModelError."""
    hiss = np.random.default_rng(0).standard_normal(int(QUIET * RATE)) * HISS
    for sound in (np.zeros(int(QUIET * RATE), np.int16), hiss.astype(np.int16)):
        for heard in detector.push(sound):
            raise ModelError(
                f"{heard.word} is heard in a silent room (score {heard.score:.2f}, threshold {heard.threshold:g}).",
                "build it again, or raise its threshold",
            )
    detector.reset()


class WakeWords:
    """memory: has the thresholds that were set by hand; hand_over: gives the ears another detector, and waits until
    they listen with it; False when they are not at work."""

    def __init__(
        self, config: Callable[[], Config], bus: Bus, memory: EarMemory, hand_over: Callable[[Detector], bool]
    ) -> None:
        self._config, self._bus, self._memory = config, bus, memory
        self._lock = threading.Lock()
        self._changing = threading.Lock()  # one exchange at a time
        self._detector: Detector | None = None
        self._by_hand: tuple[str, ...] = ()
        self._changed = threading.Event()
        self.hand_over = hand_over
        #: one sentence: why the configured words do not serve; "" when they do.
        self.refusal = ""

    # -- the ears' thread ----------------------------------------------------------------------------------------

    def load(self) -> Detector:
        """The wanted words, when the ears start. Raises ModelError."""
        detector = self._made(list(self._by_hand) or self._config().wake.words)
        self._serves(detector)
        return detector

    # -- any thread ----------------------------------------------------------------------------------------------

    def in_force(self) -> dict[str, float]:
        """Word -> threshold of those that are loaded."""
        with self._lock:
            return dict(self._detector.words) if self._detector is not None else {}

    @property
    def by_hand(self) -> tuple[str, ...]:
        """Words chosen by hand; empty for the configured ones."""
        return self._by_hand

    def again(self) -> bool:
        """True once after other words were chosen while the ears were out of service: worth another try now."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def use(self, words: Sequence[str]) -> bool:
        """Listen for these words, by name or path, until the next start or until wake.words changes; none of them
        for the configured ones. Returns when they listen; False when the ears are out of service, and will listen
        for them when they are back. Raises NoctuleError with what is wrong; nothing has changed then."""
        if len(words) > MOST:
            raise InputError(f"At most {MOST} wake words can be listened for, not {len(words)}.")
        return self._exchange(list(words) or self._config().wake.words, tuple(words))

    def follow(self, old: Config, new: Config) -> Mapping[str, str]:
        """A reload put `new` in force: change over if it names other words, or if its words were refused before;
        setting -> why it is not in force."""
        by_hand = self._by_hand if old.wake.words == new.wake.words else ()
        if old.wake.words == new.wake.words and not self.refusal:
            return {}
        try:
            self._exchange(list(by_hand) or new.wake.words, by_hand)
        except NoctuleError as error:
            self.refusal = f"wake.words is not in force: {error.message}"
            return {"wake.words": error.explain()}
        return {}

    def tune(self, word: str, threshold: float | None) -> dict[str, float]:
        """Change a threshold while running; None returns to the configured one. Raises InputError."""
        with self._lock:
            detector = self._detector
        if detector is None:
            raise UnavailableError("The wake words are not loaded.", "noctule status")
        if threshold is None and word in detector.words:
            self._memory.threshold(word, None)
            self._set_thresholds(detector)
        else:
            detector.set_threshold(word, threshold)
            self._memory.threshold(word, detector.words[word])
        now = detector.words[word]
        self._bus.publish(
            "wake.threshold", "wake", f"The threshold of {word} is {now:g} now", 5, word=word, threshold=now
        )
        return dict(detector.words)

    def retune(self) -> None:
        """Put the configured thresholds in force, where none was set by hand."""
        with self._lock:
            if self._detector is not None:
                self._set_thresholds(self._detector)

    # -- how -----------------------------------------------------------------------------------------------------

    def _made(self, words: Sequence[str]) -> Detector:
        folders = self._config().service.models
        detector = Detector([find_wake_word(word, folders) for word in words])
        self._set_thresholds(detector)
        return detector

    def _set_thresholds(self, detector: Detector) -> None:
        """By hand, else as configured, else the package's own."""
        configured = self._config().wake.threshold
        for word in detector.words:
            detector.set_threshold(word, self._memory.thresholds.get(word) or configured or None)

    def _serves(self, detector: Detector) -> None:
        with self._lock:
            self._detector = detector
        words = ", ".join(f'"{phrase}"' for phrase in detector.phrases)
        self._bus.publish("wake.loaded", "wake", f"Wakes for {words}", 5, words_loaded=len(detector.phrases))

    def _exchange(self, words: Sequence[str], by_hand: tuple[str, ...]) -> bool:
        with self._changing:
            try:
                detector = self._made(words)
                try:
                    try_out(detector)
                    handed = self.hand_over(detector)
                except NoctuleError:
                    detector.close()
                    raise
            except NoctuleError as error:
                now = ", ".join(self.in_force())
                still = f"; it goes on listening for {now}" if now else ""
                self._bus.publish("wake.refused", "wake", f"{error.message}{still}", 3, hint=error.hint)
                raise
            self._by_hand, self.refusal = by_hand, ""
            if handed:
                self._serves(detector)
            else:
                detector.close()
                self._changed.set()
            return handed
