"""Sound that does not come from a sound card: a WAV file, a pipe, a socket. Used by tests and demo alike."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.audio.chunk import HOP, RATE, Chunk, EndOfSound, Framer, to_int16
from noctule.audio.wavefile import WavReader
from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import DeviceError


class WavSource:
    """A WAV file of any rate and channel count, in real time or as fast as it is read.

    paced: deliver each hop when it would have been spoken; trail: seconds of silence after the end.
    """

    def __init__(self, path: Path, *, paced: bool = True, trail: float = 0.0, clock: Clock | None = None) -> None:
        self.path = path
        self._paced = paced
        self._trail = trail
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        self._reader: WavReader | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def steady(self) -> bool:
        return False

    def open(self) -> None:
        self._reader = WavReader(self.path)
        self._chunks = self._cut(self._reader)
        self._started = self._clock.monotonic()
        self._next: Chunk | None = None

    def _cut(self, reader: WavReader) -> Iterator[Chunk]:
        framer, count = Framer(), 0
        silence = np.zeros(int(self._trail * RATE), np.float32)
        for block in self._blocks(reader, silence):
            count += len(block)
            if chunk := framer.push(to_int16(block), count / RATE):
                yield chunk
        if chunk := framer.rest(count / RATE):
            yield chunk

    def _blocks(self, reader: WavReader, silence: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        yield from reader.at_rate(RATE, HOP)
        for start in range(0, len(silence), HOP):
            yield silence[start : start + HOP]

    def read(self, timeout: float) -> Chunk | None:
        if self._next is None:
            self._next = next(self._chunks, None)
            if self._next is None:
                raise EndOfSound
        chunk = self._next
        if self._paced:
            wait = self._started + chunk.time + len(chunk.samples) / RATE - self._clock.monotonic()
            if wait > 0:
                self._clock.wait(self._never, min(wait, timeout))
                if wait > timeout:
                    return None
        self._next = None
        start = self._started + chunk.time if self._paced else self._clock.monotonic()
        return Chunk(chunk.samples, start, chunk.index)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class PcmSource:
    """Raw PCM (int16 little-endian, mono, 16 kHz) from a named pipe or a Unix stream socket.

    The writer may come and go: between writers there is simply no sound, which `read` reports as None.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._descriptor: int | None = None
        self._socket: socket.socket | None = None

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def steady(self) -> bool:
        return False

    def open(self) -> None:
        self.close()
        try:
            mode = self.path.stat().st_mode
            if stat.S_ISFIFO(mode):
                # Both ways: with a reader of our own the pipe does not end when its writer leaves.
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            elif stat.S_ISSOCK(mode):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(2)
                self._socket.connect(str(self.path))
                self._socket.setblocking(False)
                self._descriptor = self._socket.fileno()
            else:
                raise DeviceError(f"{self.path} is neither a pipe nor a socket.", "make one: mkfifo PATH")
        except OSError as error:
            self.close()
            raise DeviceError(f"{self.path} cannot be opened as a sound source: {error.strerror or error}.") from None
        self._framer = Framer()
        self._odd = b""

    def read(self, timeout: float) -> Chunk | None:
        if self._descriptor is None:
            raise DeviceError(f"{self.path} is not open.")
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            if not selector.select(max(0.0, timeout)):
                return None
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return None
        except OSError as error:
            raise DeviceError(f"{self.path} broke: {error.strerror}.") from None
        if not data:
            raise DeviceError(f"{self.path} was closed by the other side.")
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        return self._framer.push(np.frombuffer(data[:whole], "<i2").astype(np.int16), self._clock.monotonic())

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        elif self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._socket, self._descriptor = None, None
