"""Recordings written down for other programs: by the model that hears the commands, an utterance at a time. L3.

The model is the one of speech.stt, shared with the assistant: between two windows of a recording a command gets it
first. So many recordings at once wait for each other; more are refused.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from noctule.config import Config
from noctule.core.errors import BusyError, CancelledError, NoctuleError, UnavailableError
from noctule.core.events import Bus
from noctule.inference.find import find_model
from noctule.inference.manifest import package_kind
from noctule.lm.speech.moonshine.model import KIND
from noctule.lm.speech.moonshine.shared import SharedModel
from noctule.lm.speech.moonshine.windows import transcribe
from noctule.lm.speech.words import Word
from noctule.voice.engines import open_speech_to_text, package_of

Floats = NDArray[np.float32]
#: recordings that may be under way at once, the first of them being written down
AT_ONCE = 4


class Transcriptions:
    """One face's claim on the recogniser; loads it at the first recording, keeps it until `close` or until
    speech.stt names another. Any thread."""

    def __init__(self, config: Callable[[], Config], bus: Bus) -> None:
        self._config, self._bus = config, bus
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._shared: SharedModel | None = None
        self._named = ""
        self._under_way = 0

    @property
    def name(self) -> str:
        """The recogniser that would be asked, "" where there is none that can be."""
        return package_of(self._config().speech, "stt").rpartition("/")[2]

    def written_by(self) -> str:
        """The same, where it is a package that writes recordings down; else "". Loads nothing."""
        config = self._config()
        with contextlib.suppress(NoctuleError):
            named = package_of(config.speech, "stt")
            folder = find_model(named, config.service.models, "speech.stt") if named else None
            if folder is not None and package_kind(folder) == KIND:
                return self.name
        return ""

    def of(self, blocks: Iterable[Floats], cancelled: Callable[[], bool] = lambda: False) -> Iterator[list[Word]]:
        """The words of 16 kHz mono sound, a list for each window, as they are found. Blocks.

        Raises UnavailableError where speech.stt is no package that writes recordings down, BusyError, CancelledError,
        ModelError.
        """
        with self._lock:
            if self._under_way >= AT_ONCE:
                raise BusyError(f"{AT_ONCE} recordings are being written down already.", "try again")
            self._under_way += 1
        try:
            shared = self._open()
            with self._turn:
                yield from transcribe(lambda: shared, _until(blocks, cancelled), shared.longest)
        finally:
            with self._lock:
                self._under_way -= 1

    def _open(self) -> SharedModel:
        with self._lock:
            config = self._config()
            named = package_of(config.speech, "stt")
            if self._shared is not None and named != self._named:
                self._shared.close()
                self._shared = None
            if self._shared is None:
                self._shared = open_speech_to_text(config, self._bus)
                self._named = named
            if self._shared is None:
                raise UnavailableError(
                    "The recogniser in force does not write recordings down.",
                    'speech.stt = "moonshine-tiny-en", or another package of the kind speech-to-text',
                )
            return self._shared

    def close(self) -> None:
        """Give the model back."""
        with self._lock:
            shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()


def _until(blocks: Iterable[Floats], cancelled: Callable[[], bool]) -> Iterator[Floats]:
    for block in blocks:
        if cancelled():
            raise CancelledError("Nobody wants the rest of the recording.")
        yield block
