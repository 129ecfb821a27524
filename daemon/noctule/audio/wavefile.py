"""Read WAV files block by block, in bounded memory.

Formats: RIFF/WAVE as in Microsoft's "Multiple Channel Audio Data and WAVE Files", and RF64 (EBU Tech 3306)
for files beyond 4 GiB; integer PCM of 8, 16, 24 and 32 bits and IEEE float of 32 and 64. Python's own `wave`
module reads neither float nor (before 3.12) WAVE_FORMAT_EXTENSIBLE, which is what most recorders write.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from noctule.audio.mixdown import Mixdown
from noctule.audio.resample import Resampler
from noctule.audio.wav_format import CLIPPED_PER_SECOND, RAIL, Clipping, WavFormat, decode
from noctule.core.errors import InputError
from noctule.core.file_kind import kind_of_bytes

Samples = NDArray[np.float32]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OTHERS = {
    2: "ADPCM",
    6: "A-law",
    7: "mu-law",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x50: "MPEG",
    0x55: "MP3",
    0xFF: "AAC",
}
#: tail of every KSDATAFORMAT_SUBTYPE GUID; the first two bytes are the plain format code.
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_CONVERT = "convert it first: `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
_STREAMED = 0xFFFFFFFF
#: where recorders and programs that write to a pipe put a length they do not know: arecord 2^31, sox a little less,
#: ffmpeg 2^32 - 1.
_UNKNOWN = (range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
#: names of the standard input; a pipe by another name may never get a writer.
STDIN = ("-", "/dev/stdin")


@dataclass
class WavReader:
    """A WAV file as a stream of mono float32 blocks in [-1, 1]. Use as a context manager.

    path: "-" is the standard input. Channels are mixed by content (mixdown.py). A second data chunk, and a recording
    of the same format behind this one, are read on. `warnings` collects one sentence for each thing worth telling
    (clipped, cut short, left out). Raises InputError, one sentence, for anything that is not a readable WAV file.
    """

    path: Path
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = "the standard input" if str(self.path) in STDIN else str(self.path)
        self._file = self._opened()
        try:
            self.format = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def _opened(self) -> BinaryIO:
        pipe = str(self.path) in STDIN or str(self.path).startswith(("/dev/fd/", "/proc/self/fd/"))
        try:
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir() or pipe):
                raise InputError(f"{self.path} is not an ordinary file", "give the path of a .wav file")
            file: BinaryIO = os.fdopen(os.dup(0), "rb") if str(self.path) == "-" else self.path.open("rb")
        except OSError as e:
            raise InputError(f"{self.name} cannot be read: {_why(e)}") from None
        if pipe and file.isatty():
            file.close()
            raise InputError(f"{self.name} is a terminal, not a WAV file", "noctule … - < FILE.wav")
        return file

    # -- header ---------------------------------------------------------------------------------------------

    def _bad(self, problem: str, hint: str = "") -> InputError:
        return InputError(f"{self.name} {problem}", hint)

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise self._bad("ends inside its WAV header", "the file was cut short: copy or record it again")
        return data

    def _read_header(self) -> WavFormat:
        first = self._file.read(12)
        if not first:
            raise self._bad("is empty: a WAV file has at least a 44-byte header")
        if len(first) < 12 and (b"RIFF".startswith(first[:4]) or b"RF64".startswith(first[:4])):
            raise self._bad("ends inside its WAV header", "the file was cut short: copy or record it again")
        if first[:4] not in (b"RIFF", b"RF64") or first[8:] != b"WAVE":
            raise self._stranger(first)
        return self._read_chunks()

    def _stranger(self, first: bytes) -> InputError:
        kind = kind_of_bytes(first + self._file.read(500))
        if kind is None or kind.name == "wav":
            return self._bad("is not a WAV file", _CONVERT)
        sound = kind.name in ("ogg", "flac", "mp3", "mp4", "matroska", "avi")
        return self._bad(f"is not a WAV file but {kind.what}", _CONVERT if sound else kind.hint)

    def _skip(self, count: int) -> None:
        """Past `count` bytes, also of a pipe; less where the file ends."""
        if self._file.seekable():
            self._file.seek(count, os.SEEK_CUR)
            return
        while count > 0 and (data := self._file.read(min(count, 65_536))):
            count -= len(data)

    def _read_chunks(self) -> WavFormat:
        """Up to the first sample."""
        long_size: int | None = None
        header: tuple[int, int, int, int] | None = None
        while True:
            name, size = struct.unpack("<4sI", self._exactly(8))
            if name == b"ds64":
                if not 16 <= size <= 4096:  # asked for more, `read` would set aside that much memory at once
                    raise self._bad(f"has a ds64 chunk of {size} bytes, which no WAV file has")
                body = self._exactly(size)
                long_size = struct.unpack_from("<Q", body, 8)[0]
            elif name == b"fmt ":
                if not 16 <= size <= 4096:
                    raise self._bad(f"has a format chunk of {size} bytes, which no WAV file has")
                header = self._parse_format(self._exactly(size))
            elif name == b"data":
                break
            else:
                self._skip(size)
            if size % 2:
                self._skip(1)
        if header is None:
            raise self._bad("has no format chunk before its audio", _CONVERT)
        rate, channels, bits, code = header
        block = channels * bits // 8
        size_known = long_size if size == _STREAMED and long_size is not None else size
        unknown = size == 0 or (any(size in lengths for lengths in _UNKNOWN) and self._shorter_than(size))
        streamed = unknown and long_size is None
        frames = None if streamed else size_known // block
        if frames is not None and (more := self._wrapped(size_known)):
            frames = more // block
        self._odd = size % block + size % 2  # what is no whole frame, and the byte that fills up
        if size == 0 and self._shorter_than(1):
            frames = 0
        return WavFormat(rate, channels, bits, code == _FLOAT, frames)

    def _shorter_than(self, size: int) -> bool:
        """Whether fewer than `size` bytes follow; a pipe with a length that nobody knows counts as shorter."""
        if not self._file.seekable():
            return size > 1
        here = self._file.tell()
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(here)
        return end - here < size

    def _wrapped(self, size: int) -> int:
        """Bytes of sound in a file that grew beyond 4 GiB while its header's count began again at 0; 0 for others."""
        if not self._file.seekable():
            return 0
        here = self._file.tell()
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(here)
        there = end - here
        return there if there >= 1 << 32 and (there - size) % (1 << 32) < 4096 else 0

    def _goes_on(self, heard: int) -> int:
        """Frames of sound that follow the data chunk just read, of the same format; 0 when there are no more."""
        head = self._file.read(8 + self._odd)[self._odd :]
        while len(head) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                self._odd = size % self.format.block_bytes + size % 2
                return int(size // self.format.block_bytes)
            if name in (b"RIFF", b"RF64") and self._file.read(4) == b"WAVE":
                return self._another(heard)
            if not all(32 <= byte < 127 for byte in name):
                self._left_out(heard, "what follows is no chunk of a WAV file")
                return 0
            self._skip(size + size % 2)
            head = self._file.read(8)
        return 0

    def _another(self, heard: int) -> int:
        """A whole WAV file behind this one."""
        try:
            found = self._read_chunks()
        except InputError:
            self._left_out(heard, "what follows is a damaged WAV file")
            return 0
        if replace(found, frames=None) != replace(self.format, frames=None):
            self._left_out(heard, "what follows has another format")
            return 0
        return found.frames if found.frames is not None else 1 << 62

    def _left_out(self, heard: int, why: str) -> None:
        self.warnings.append(f"{self.name}: only the first {heard / self.format.sample_rate:.1f} s are read: {why}")

    def _parse_format(self, body: bytes) -> tuple[int, int, int, int]:
        code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
        if code == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
            code = struct.unpack_from("<H", body, 24)[0]
        if code not in (_PCM, _FLOAT):
            what = _OTHERS.get(code, f"an encoding with the code {code:#x}")
            raise self._bad(f"holds {what}, not PCM", _CONVERT)
        if bits not in ((8, 16, 24, 32) if code == _PCM else (32, 64)):
            raise self._bad(f"holds samples of {bits} bits, which this program does not read", _CONVERT)
        if not 1 <= channels <= 64 or rate == 0 or block != channels * bits // 8:
            raise self._bad(
                f"has a broken format chunk ({channels} channels, {rate} Hz, {block} bytes a frame)", _CONVERT
            )
        return rate, channels, bits, code

    # -- samples --------------------------------------------------------------------------------------------

    def blocks(self, frames: int = 65_536) -> Iterator[Samples]:
        """Mono blocks of at most `frames` samples at the file's own rate. Reads the file once.

        Raises InputError when the file holds no audio at all, or a NaN.
        """
        form = self.format
        left = form.frames
        rate, heard = form.sample_rate, 0
        clipping, mixed = Clipping(), Mixdown(form.channels)
        while left is None or left > 0 or (left := self._goes_on(heard)) > 0:
            want = frames if left is None else min(frames, left)
            data = self._file.read(want * form.block_bytes)
            count = len(data) // form.block_bytes
            if count == 0:
                break
            samples = decode(data[: count * form.block_bytes], form).reshape(count, form.channels)
            if not np.isfinite(samples).all():
                raise self._bad(f"holds a sample that is not a number near second {heard / rate:.1f}")
            clipping.feed(np.abs(samples).max(axis=1) >= RAIL)
            heard += count
            if left is not None:
                left -= count
            yield mixed(samples)
        if heard == 0:
            raise self._bad("holds no audio")
        if mixed.note:
            self.warnings.append(f"{self.name}: {mixed.note}")
        if left and left < 1 << 60:
            seconds = heard / rate
            self.warnings.append(
                f"{self.name} ends after {seconds:.1f} s, earlier than its header says: the rest is missing"
            )
        if clipping.runs > max(2.0, CLIPPED_PER_SECOND * heard / rate):
            self.warnings.append(
                f"{self.name} is clipped in {clipping.runs} places, which costs words: record with less gain"
            )

    def at_rate(self, rate: int, frames: int) -> Iterator[Samples]:
        """The audio at `rate` Hz in blocks of exactly `frames` samples; silence fills up the last."""
        resampler = Resampler(self.format.sample_rate, rate)
        held = np.zeros(0, np.float32)
        for block in self.blocks():
            held = np.concatenate([held, resampler.push(block)])
            whole = len(held) // frames * frames
            yield from held[:whole].reshape(-1, frames)
            held = held[whole:].copy()
        held = np.concatenate([held, resampler.finish()])
        if len(held) % frames:
            held = np.concatenate([held, np.zeros(frames - len(held) % frames, np.float32)])
        yield from held.reshape(-1, frames)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> WavReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _why(error: OSError) -> str:
    return "there is no such file" if error.errno == 2 else error.strerror or str(error)
