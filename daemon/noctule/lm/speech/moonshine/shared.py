"""One model a process, whoever asks for it: the assistant's turns, the API and the Wyoming server share it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from noctule.core.errors import UnavailableError
from noctule.lm.speech.moonshine.model import MoonshineModel

_lock = threading.Lock()
_open: dict[Path, _Entry] = {}


class _Entry:
    def __init__(self, model: MoonshineModel) -> None:
        self.model, self.users = model, 0
        self.turn = threading.Lock()


class SharedModel:
    """A claim on the model; `close` gives it back, and the last one frees it. Each use is a `with`:

        with shared as model: ...

    which waits until nobody else uses it, so it should be short: an utterance, not an hour.
    """

    def __init__(self, path: Path, entry: _Entry) -> None:
        self._path, self._entry = path, entry
        self._closed = False
        model = entry.model
        self.name, self.version = model.manifest.name, model.manifest.version
        self.confidence = model.shape.confidence
        #: seconds of sound that fit one utterance
        self.longest = model.longest

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1, cache_dir: Path | None = None) -> SharedModel:
        """The package's model, loaded unless it is there already (threads and cache_dir are then as they were).
        Raises ModelError."""
        path = folder.resolve()
        with _lock:
            entry = _open.get(path)
            if entry is None:
                entry = _open[path] = _Entry(MoonshineModel.load(folder, threads=threads, cache_dir=cache_dir))
            entry.users += 1
        return cls(path, entry)

    def __enter__(self) -> MoonshineModel:
        self._entry.turn.acquire()
        if self._closed:
            self._entry.turn.release()
            raise UnavailableError("The recogniser has been closed.")
        return self._entry.model

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._entry.turn.release()

    def close(self) -> None:
        """Give it back; may be called twice. Waits for a use that is under way."""
        with _lock:
            if self._closed:
                return
            self._closed = True
            self._entry.users -= 1
            if self._entry.users:
                return
            del _open[self._path]
        with self._entry.turn:
            self._entry.model.close()
