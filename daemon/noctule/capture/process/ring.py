"""Frames through shared memory: one writer process, any number of readers, no locks (a sequence lock per slot).

The ring is an anonymous memory file (memfd), so nothing is left in /dev/shm when a process dies. Frame n lies in slot
n mod slots. A slot's sequence word is odd while it is written and 2 n + 2 once frame n is whole; a reader copies the
pixels and looks at the word again: if it moved, the copy is thrown away and counted, never handed on. The writer
never waits for a reader.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from noctule.capture.picture.frame import FLAGS, MATRICES, Frame
from noctule.capture.picture.layout import BY_CODE, FORMATS, Bytes2D, check_size, picture_bytes, split_planes
from noctule.core.errors import DeviceError

#: sequence, captured ns, pts numerator, pts denominator, width, height, format, matrix, full range, rotation, flags
_HEADER = struct.Struct("=QqqqIIHHHHI")
_HEADER_BYTES = 128
_PAGE = 4096
#: four slots tore under load where eight did not; large pictures get fewer to bound the memory.
_MAX_SLOTS, _MIN_SLOTS, _BUDGET = 8, 4, 64 << 20

_MATRIX_NAMES = {code: name for name, code in MATRICES.items()}
#: The size of a mapped file must not change under a reader, or touching it would be fatal (SIGBUS).
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

#: puts pixels into a slot: fill(planes, offset of the first in the memory)
Fill = Callable[[Sequence[Bytes2D], int], None]

_barrier_lock = threading.Lock()


def _fence() -> None:
    """A memory barrier. Taking and releasing a lock is an acquire and a release; the release of the first and the
    acquire of the second keep their order, so nothing moves across both (needed on ARM, where stores may pass)."""
    for _ in range(2):
        _barrier_lock.acquire()
        _barrier_lock.release()


def slots_for(payload: int) -> int:
    """How many slots a ring of pictures of `payload` bytes gets."""
    return max(_MIN_SLOTS, min(_MAX_SLOTS, _BUDGET // max(1, payload)))


def _slot_bytes(payload: int) -> int:
    return -(-(payload + _HEADER_BYTES) // _PAGE) * _PAGE


class _Ring:
    def __init__(self, fd: int, slots: int, payload: int, writable: bool) -> None:
        self.slots, self.payload = slots, payload
        size = slots * _slot_bytes(payload)
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._map = mmap.mmap(fd, size, access=access)
        self._bytes: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self._step = _slot_bytes(payload)

    def _sequence(self, slot: int) -> npt.NDArray[np.uint64]:
        """The slot's sequence word: one aligned 8-byte load or store, unlike struct's."""
        return self._bytes[slot * self._step : slot * self._step + 8].view(np.uint64)

    def _pixels(self, slot: int, size: int) -> npt.NDArray[np.uint8]:
        start = slot * self._step + _HEADER_BYTES
        return self._bytes[start : start + size]

    def close(self) -> None:
        """Let go of the memory."""
        self._bytes = np.empty(0, np.uint8)
        try:
            self._map.close()
        except BufferError:  # a view is still held somewhere; the map goes with the last of them
            self._map = mmap.mmap(-1, 1)


class RingWriter(_Ring):
    """The writing end; makes the memory. `fd` is passed to the reader."""

    def __init__(self, payload: int) -> None:
        slots = slots_for(payload)
        self.fd = os.memfd_create("noctule-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, slots * _slot_bytes(payload))
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        super().__init__(self.fd, slots, payload, writable=True)
        self.count = 0

    def write(
        self,
        pix_fmt: str,
        width: int,
        height: int,
        fill: Fill,
        pts: Fraction,
        captured: float,
        *,
        matrix: str,
        full_range: bool,
        rotation: int = 0,
        flags: Iterable[str] = (),
    ) -> int:
        """Put one picture into the next slot; returns its number.

        fill(planes, offset): puts the pixels there, either through `planes` (uint8 [rows, bytes per row], unpadded,
        one after another) or, from another process, at `offset` bytes in the memory. When it raises, the slot counts
        as unfinished and nobody ever sees it.
        """
        fmt = FORMATS[pix_fmt]
        size = picture_bytes(fmt, width, height)
        if size > self.payload:
            raise ValueError(f"a picture of {size} bytes does not fit slots of {self.payload}")
        number = self.count
        slot = number % self.slots
        base = slot * self._step
        word = self._sequence(slot)
        word[0] = 2 * number + 1
        _fence()
        fill(split_planes(self._pixels(slot, size), fmt, width, height), base + _HEADER_BYTES)
        bits = sum(FLAGS[name] for name in flags)
        pts = pts.limit_denominator(1 << 40)
        header = _HEADER.pack(
            2 * number + 1,
            round(captured * 1e9),
            pts.numerator,
            pts.denominator,
            width,
            height,
            fmt.code,
            MATRICES[matrix],
            int(full_range),
            rotation,
            bits,
        )
        self._bytes[base + 8 : base + _HEADER.size] = np.frombuffer(header, np.uint8)[8:]
        _fence()
        word[0] = 2 * number + 2
        self.count = number + 1
        return number

    def planes(self, number: int, pix_fmt: str, width: int, height: int) -> list[Bytes2D]:
        """The planes of a picture that has just been written."""
        fmt = FORMATS[pix_fmt]
        flat = self._pixels(number % self.slots, picture_bytes(fmt, width, height))
        return split_planes(flat, fmt, width, height)

    def close(self) -> None:
        super().close()
        os.close(self.fd)


class RingReader(_Ring):
    """The reading end, over the descriptor that came from the writer (which stays the caller's to close)."""

    def __init__(self, fd: int, slots: int, payload: int) -> None:
        size = slots * _slot_bytes(payload)
        try:
            sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        except OSError:
            sealed = 0
        if not sealed or os.fstat(fd).st_size != size or not 0 < slots <= 64:
            raise DeviceError("a capture process offered memory that is not a sealed ring of frames")
        super().__init__(fd, slots, payload, writable=False)
        #: frames whose slot was overwritten before or while they were copied.
        self.torn = 0

    def read(self, number: int, source: str, seq: int) -> Frame | None:
        """Frame `number` with pixels of its own, or None (counted in `torn`) when the writer has overtaken it."""
        slot = number % self.slots
        word = self._sequence(slot)
        if int(word[0]) != 2 * number + 2:
            self.torn += 1
            return None
        _fence()
        base = slot * self._step
        (_, captured, num, den, width, height, code, matrix, full, rotation, bits) = _HEADER.unpack(
            self._bytes[base : base + _HEADER.size].tobytes()
        )
        fmt = BY_CODE.get(code)
        if fmt is None or den < 1 or matrix not in _MATRIX_NAMES or rotation not in (0, 90, 180, 270):
            self.torn += 1
            return None
        check_size(width, height, source)
        size = picture_bytes(fmt, width, height)
        if size > self.payload:
            self.torn += 1
            return None
        flat = self._pixels(slot, size).copy()
        _fence()
        if int(word[0]) != 2 * number + 2:
            self.torn += 1
            return None
        flags = frozenset(name for name, bit in FLAGS.items() if bits & bit)
        return Frame(
            source,
            seq,
            width,
            height,
            fmt.name,
            tuple(split_planes(flat, fmt, width, height)),
            Fraction(num, den),
            captured / 1e9,
            _MATRIX_NAMES[matrix],
            bool(full),
            rotation,
            flags,
        )
