"""Clips of what woke it, for its owner to review: the false ones retrain the wake word, the true ones too.

A clip is a WAV file `TIME-WORD-SCORE.wav`. New ones lie in the folder itself; labelled ones in `positives/` and
`negatives/`, which `scripts/build_wake_word.py --recordings … --negatives …` takes as they are. A quota and an age
limit delete the oldest first, unlabelled ones before labelled ones. Nothing is kept unless `wake.save` says so.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noctule.audio.chunk import RATE, Pcm
from noctule.audio.wav_writer import WavWriter
from noctule.core.errors import InputError
from noctule.core.names import id_of

LABELS = {"yes": "positives", "no": "negatives"}
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3})-([A-Za-z0-9_.]+)-(\d\.\d{3})\.wav")


@dataclass(frozen=True)
class WakeClip:
    """name: the file's; label: "", "yes" or "no"; time: local, as in the name."""

    path: Path
    label: str
    word: str
    score: float
    time: str

    @property
    def name(self) -> str:
        return self.path.name


class WakeClips:
    """The folder. quota_mb and days bound it; both may be changed at any time."""

    def __init__(self, folder: Path, quota_mb: int, days: int) -> None:
        self.folder, self.quota_mb, self.days = folder, quota_mb, days
        self._lock = threading.Lock()

    def save(self, word: str, score: float, samples: Pcm, wall: float) -> Path:
        """Keep int16 mono 16 kHz samples. Raises InputError when the folder cannot be written to."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(wall)) + f".{int(wall * 1000) % 1000:03d}"
        safe = id_of(word, also="_.", plain=False)
        path = self.folder / f"{stamp}-{safe}-{min(score, 9.999):.3f}.wav"
        with self._lock:
            try:
                _own_folder(self.folder)
            except OSError as error:
                raise InputError(f"{self.folder} cannot be made: {error.strerror}.") from None
            with WavWriter(path, RATE) as writer:
                writer.write(samples.astype(np.float32) / np.float32(32767))
            self._tidy(wall)
        return path

    def list(self) -> list[WakeClip]:
        """All clips, oldest first."""
        found = []
        for label, folder in [("", self.folder), *((k, self.folder / v) for k, v in LABELS.items())]:
            for path in folder.glob("*.wav") if not folder.is_symlink() else ():
                if (parts := _NAME.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
                    found.append(WakeClip(path, label, parts[2], float(parts[3]), parts[1]))
        return sorted(found, key=lambda clip: clip.name)

    def find(self, name: str) -> WakeClip:
        """A clip by its file's name. Raises InputError."""
        for clip in self.list():
            if clip.name == name:
                return clip
        raise InputError(f"There is no clip {name[:80]!r}.", "noctule wake review")

    def label(self, name: str, label: str) -> None:
        """File a clip under "yes" (it was the word) or "no", or "delete" it. Raises InputError."""
        if label not in (*LABELS, "delete"):
            raise InputError(f"A label is yes, no or delete, not {label[:20]!r}.")
        with self._lock:
            clip = self.find(name)
            if label == "delete":
                clip.path.unlink()
                return
            target = self.folder / LABELS[label]
            try:
                _own_folder(target)
                clip.path.rename(target / clip.name)
                for folder in (target, clip.path.parent):  # a label that was acknowledged outlives a power cut
                    _flush(folder)
            except OSError as error:
                raise InputError(f"{clip.name} cannot be labelled: {error.strerror}.") from None

    def _tidy(self, wall: float) -> None:
        for leftover in self.folder.glob(".*.part"):  # of a save that the power's end cut short
            leftover.unlink(missing_ok=True)
        oldest = time.strftime("%Y%m%dT%H%M%S", time.localtime(wall - self.days * 86400))
        clips = self.list()
        for clip in [clip for clip in clips if clip.time < oldest]:
            clip.path.unlink()
            clips.remove(clip)
        sizes = {clip.name: clip.path.stat().st_size for clip in clips}
        total = sum(sizes.values())
        for clip in sorted(clips, key=lambda c: (bool(c.label), c.name)):
            if total <= self.quota_mb * 1_000_000 or len(sizes) == 1:
                break
            clip.path.unlink()
            total -= sizes.pop(clip.name)


def _own_folder(folder: Path) -> None:
    """Make the folder. InputError for a symbolic link: what is kept must not land where somebody else chose."""
    if folder.is_symlink():
        raise InputError(f"{folder} is a symbolic link, which is not followed.", "a bind mount keeps clips elsewhere")
    folder.mkdir(parents=True, exist_ok=True)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
