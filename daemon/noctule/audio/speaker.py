"""Sound out, in a way that can be interrupted: a wake word must silence an answer within 200 ms."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.audio import portaudio
from noctule.audio.chunk import to_int16
from noctule.errors import BusyError, DeviceError
from noctule.native_stderr import captured_stderr
from noctule.wavefile import WavWriter

Samples = NDArray[np.float32]

#: seconds of sound that may wait to be played; a producer that is further ahead is told so.
AHEAD = 60.0


class Loudspeaker(Protocol):
    """Where answers are spoken. One utterance at a time: start, write…, finish or stop."""

    def start(self, rate: int) -> None:
        """Begin an utterance of mono float32 at `rate` Hz. Raises DeviceError."""

    def write(self, samples: Samples) -> None:
        """Queue samples; returns at once. Raises BusyError beyond `AHEAD` seconds."""

    def finish(self, timeout: float) -> bool:
        """Play what is queued to its end; False when it was stopped or `timeout` seconds were not enough."""

    def stop(self) -> None:
        """Fall silent now, from any thread."""


class PortAudioSpeaker:
    """A real loudspeaker. device: part of its name, "" for the default."""

    def __init__(self, device: str = "", *, module: Any = None) -> None:
        self._wanted = device
        self._module = module
        self._stack: ExitStack | None = None
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._complete = False
        self._idle = threading.Event()

    def start(self, rate: int) -> None:
        self.stop()
        module = self._module or portaudio.load()
        with self._lock:
            self._queue.clear()
            self._queued, self._complete, self._limit = 0, False, int(AHEAD * rate) * 2
            self._stopped = False
        self._idle.clear()
        with ExitStack() as stack:
            audio = stack.enter_context(portaudio.session(module))
            device = portaudio.choose(portaudio.devices(audio), self._wanted, inputs=False)
            try:
                with captured_stderr():
                    stream = audio.open(
                        rate,
                        1,
                        module.paInt16,
                        output=True,
                        output_device_index=device.index,
                        frames_per_buffer=rate // 50,
                        stream_callback=self._callback(module),
                    )
            except (OSError, ValueError) as error:
                raise DeviceError(f'The loudspeaker "{device.name}" does not open at {rate} Hz: {error}.') from None
            stack.callback(stream.close)
            self._stack = stack.pop_all()

    def _callback(self, module: Any) -> Any:
        proceed, complete = module.paContinue, module.paComplete

        def wanted(data: Any, frames: int, info: Any, status: int) -> tuple[bytes, int]:
            size = frames * 2
            out = bytearray()
            with self._lock:
                while len(out) < size and self._queue:
                    block = self._queue.popleft()
                    take = block[: size - len(out)]
                    out += take
                    if len(take) < len(block):
                        self._queue.appendleft(block[len(take) :])
                self._queued -= len(out)
                over = self._complete and not self._queue
            out += bytes(size - len(out))
            if over:
                self._idle.set()
            return bytes(out), complete if over else proceed

        return wanted

    def write(self, samples: Samples) -> None:
        data = to_int16(samples).tobytes()
        with self._lock:
            if self._stopped:
                return
            if self._queued + len(data) > self._limit:
                raise BusyError(f"More than {AHEAD:g} s of speech wait to be played.")
            self._queue.append(data)
            self._queued += len(data)

    def finish(self, timeout: float) -> bool:
        with self._lock:
            self._complete = True
        played = self._idle.wait(timeout)
        with self._lock:
            played = played and not self._stopped
        self._close()
        return played

    def stop(self) -> None:
        with self._lock:
            self._queue.clear()
            self._queued, self._complete, self._stopped = 0, True, True
        self._idle.set()
        self._close()

    def _close(self) -> None:
        with self._lock:
            stack, self._stack = self._stack, None
        if stack is not None:
            with captured_stderr():
                stack.close()


class WavSpeaker:
    """Writes each utterance into a WAV file of its own: NAME-1.wav, NAME-2.wav, … Whole or not at all."""

    def __init__(self, folder: Path, name: str = "answer") -> None:
        self._folder, self._name = folder, name
        self._writer: WavWriter | None = None
        #: the files written so far.
        self.files: list[Path] = []

    def start(self, rate: int) -> None:
        self.stop()
        path = self._folder / f"{self._name}-{len(self.files) + 1}.wav"
        self._writer = WavWriter(path, rate)
        self._path = path

    def write(self, samples: Samples) -> None:
        if self._writer is not None:
            self._writer.write(samples)

    def finish(self, timeout: float) -> bool:
        writer, self._writer = self._writer, None
        if writer is None:
            return False
        writer.commit()
        self.files.append(self._path)
        return True

    def stop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
