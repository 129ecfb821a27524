"""WAV files that are written block by block."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from types import TracebackType

import numpy as np

from noctule.audio.chunk import Pcm
from noctule.audio.wavefile import Samples
from noctule.core.errors import InputError

#: WAVE_FORMAT_PCM
_PCM = 1
#: most bytes that a RIFF header can count
_MOST = 0xFFFFFFFF


def header(frames: int, rate: int) -> bytes:
    """The 44 bytes before `frames` 16-bit mono samples at `rate` a second."""
    size = min(frames * 2, _MOST - 36)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def wav_bytes(samples: Pcm, rate: int) -> bytes:
    """int16 mono samples [n] as a WAV file in memory."""
    return header(len(samples), rate) + samples.astype("<i2").tobytes()


class WavWriter:
    """Writes 16-bit mono PCM. The file gets its name only when it is whole; an error leaves nothing."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate = path, sample_rate
        self.frames = 0
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            if path.is_dir():
                raise IsADirectoryError(21, "Is a directory")
            self._file = self._temporary.open("xb")
        except OSError as e:
            raise InputError(f"{path} cannot be written: {e.strerror or e}") from None
        self._file.write(header(self.frames, self.sample_rate))

    def write(self, samples: Samples) -> None:
        """Samples [n] in [-1, 1]; what lies outside is clipped, as a loudspeaker would."""
        self._file.write((np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes())
        self.frames += len(samples)

    def commit(self) -> None:
        """Complete the header and give the file its name."""
        self._file.seek(0)
        self._file.write(header(self.frames, self.sample_rate))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._temporary.unlink()

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()
