"""Read WAV files block by block, in bounded memory.

Formats: RIFF/WAVE as in Microsoft's "Multiple Channel Audio Data and WAVE Files", and RF64 (EBU Tech 3306)
for files beyond 4 GiB; integer PCM of 8, 16, 24 and 32 bits and IEEE float of 32 and 64. Python's own `wave`
module reads neither float nor (before 3.12) WAVE_FORMAT_EXTENSIBLE, which is what most recorders write.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from noctule.audio.resample import Resampler
from noctule.core.errors import InputError

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
#: a sample at or beyond this is at the rail of its format; this many in a row is clipping, not a loud peak.
_RAIL, _RUN = 0.9995, 3
#: clipped runs per second of audio that are worth a warning.
_CLIPPED_PER_SECOND = 1.0
_STREAMED = 0xFFFFFFFF


@dataclass(frozen=True)
class WavFormat:
    """What the header says. `frames` is samples per channel, or None when the writer did not know it."""

    sample_rate: int
    channels: int
    bits: int
    is_float: bool
    frames: int | None

    @property
    def block_bytes(self) -> int:
        return self.channels * self.bits // 8


class _Clipping:
    """Counts runs of `_RUN` or more samples at the rail, over block borders."""

    def __init__(self) -> None:
        self.runs = 0
        self._tail = np.zeros(_RUN, bool)

    def feed(self, at_rail: NDArray[np.bool_]) -> None:
        flags = np.concatenate([self._tail, at_rail])
        length = len(at_rail)
        # a run counts where its _RUN-th sample stands: it and those before it are set, the one before is not
        inside = np.ones(length, bool)
        for back in range(_RUN):
            inside &= flags[_RUN - back : _RUN - back + length]
        self.runs += int((inside & ~flags[:length]).sum())
        self._tail = flags[-_RUN:]


@dataclass
class WavReader:
    """A WAV file as a stream of mono float32 blocks in [-1, 1]. Use as a context manager.

    Channels are averaged. `warnings` collects one sentence for each thing worth telling (clipped, cut short).
    Raises InputError, one sentence, for anything that is not a readable WAV file.
    """

    path: Path
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                raise InputError(f"{self.path} is not an ordinary file", "give the path of a .wav file")
            self._file: BinaryIO = self.path.open("rb")
        except OSError as e:
            raise InputError(f"{self.path} cannot be read: {e.strerror or e}") from None
        try:
            self.format = self._read_header()
        except BaseException:
            self._file.close()
            raise

    # -- header ---------------------------------------------------------------------------------------------

    def _bad(self, problem: str, hint: str = "") -> InputError:
        return InputError(f"{self.path} {problem}", hint)

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
            raise self._bad("is not a WAV file", _CONVERT)
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
                self._file.seek(size, os.SEEK_CUR)
            if size % 2:
                self._file.seek(1, os.SEEK_CUR)
        if header is None:
            raise self._bad("has no format chunk before its audio", _CONVERT)
        rate, channels, bits, code = header
        block = channels * bits // 8
        size_known = long_size if size == _STREAMED and long_size is not None else size
        # a recorder that writes to a pipe leaves 0 or the largest number: read to the end of the file
        streamed = size in (0, _STREAMED) and long_size is None
        frames = None if streamed else size_known // block
        if size == 0 and self._at_end():
            frames = 0
        return WavFormat(rate, channels, bits, code == _FLOAT, frames)

    def _at_end(self) -> bool:
        here = self._file.tell()
        more = self._file.read(1)
        self._file.seek(here)
        return not more

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
        clipping = _Clipping()
        while left is None or left > 0:
            want = frames if left is None else min(frames, left)
            data = self._file.read(want * form.block_bytes)
            count = len(data) // form.block_bytes
            if count == 0:
                break
            samples = self._decode(data[: count * form.block_bytes]).reshape(count, form.channels)
            if not np.isfinite(samples).all():
                raise self._bad(f"holds a sample that is not a number near second {heard / rate:.1f}")
            clipping.feed(np.abs(samples).max(axis=1) >= _RAIL)
            heard += count
            if left is not None:
                left -= count
            yield np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32))
        if heard == 0:
            raise self._bad("holds no audio")
        if left:
            seconds = heard / rate
            self.warnings.append(
                f"{self.path} ends after {seconds:.1f} s, earlier than its header says: the rest is missing"
            )
        if clipping.runs > max(2.0, _CLIPPED_PER_SECOND * heard / rate):
            self.warnings.append(
                f"{self.path} is clipped in {clipping.runs} places, which costs words: record with less gain"
            )

    def _decode(self, data: bytes) -> Samples:
        bits = self.format.bits
        if self.format.is_float:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is then refused
                return np.frombuffer(data, "<f4" if bits == 32 else "<f8").astype(np.float32)
        scale = 2.0 ** (bits - 1)
        if bits == 8:  # the one unsigned width
            out = np.frombuffer(data, np.uint8).astype(np.float32)
            out -= np.float32(scale)
        elif bits == 24:
            packed = np.frombuffer(data, np.uint8).reshape(-1, 3)
            wide = np.zeros((len(packed), 4), np.uint8)
            wide[:, 1:] = packed
            out = wide.view("<i4")[:, 0].astype(np.float32)
            scale = 2.0**31
        else:
            out = np.frombuffer(data, f"<i{bits // 8}").astype(np.float32)
        out *= np.float32(1.0 / scale)
        return out

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
