"""Sound out, in a way that can be interrupted: a wake word must silence an answer within 200 ms.

One thread owns a loudspeaker (start, write, finish, close); any other may call `stop`, which takes away what was
queued and lets the device's own thread play silence from its next block on. Only the owner opens and closes devices:
both may take long, and the one who stops is the thread that hears.
"""

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
from noctule.audio.resample import Resampler
from noctule.audio.wav_writer import WavWriter
from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import BusyError, DeviceError
from noctule.core.native_stderr import captured_stderr

Samples = NDArray[np.float32]

#: seconds of sound that may wait to be played; a producer that is further ahead is refused.
AHEAD = 10.0
#: seconds without being asked for sound after which a device counts as gone.
GONE_AFTER = 1.5


class Loudspeaker(Protocol):
    """Where answers are spoken. One utterance at a time: start, write…, finish, until `played`; close."""

    @property
    def name(self) -> str:
        """For people."""

    def start(self, rate: int) -> None:
        """Begin an utterance of mono float32 at `rate` Hz. Raises DeviceError."""

    def write(self, samples: Samples) -> None:
        """Queue samples; returns at once. Raises BusyError beyond `AHEAD` seconds."""

    def ahead(self) -> float:
        """Seconds that wait to be played. Raises DeviceError when nobody plays them."""

    def finish(self) -> None:
        """No more is coming: what is queued is played to its end."""

    def played(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end, or for `stop`. Raises DeviceError when nobody plays."""

    def stop(self) -> None:
        """Fall silent now, from any thread."""

    def close(self) -> None:
        """Release the device; may be called twice."""


class PortAudioSpeaker:
    """A real loudspeaker. device: part of its name, "" for the default."""

    def __init__(self, device: str = "", *, module: Any = None, clock: Clock | None = None) -> None:
        self._wanted = device
        self._module = module
        self._clock = clock or SystemClock()
        self._stack: ExitStack | None = None
        self._stream: Any = None
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._complete = self._stopped = True
        self._rate, self._limit = 1, 0
        self._asked = 0.0
        self._resampler: Resampler | None = None
        self._idle = threading.Event()
        self._name = device or "default loudspeaker"
        #: blocks for which nothing was there in the middle of an utterance: the voice was too slow.
        self.underruns = 0

    @property
    def name(self) -> str:
        return self._name

    def start(self, rate: int) -> None:
        self.close()
        module = self._module or portaudio.load()
        with ExitStack() as stack:
            audio = stack.enter_context(portaudio.session(module))
            device = portaudio.choose(portaudio.devices(audio), self._wanted, inputs=False)
            self._name = device.name
            with self._lock:
                self._queue.clear()
                self._queued, self._complete, self._stopped = 0, False, False
                self._asked = self._clock.monotonic()
            self._idle.clear()
            self._stream, self._rate = self._open(module, audio, device, rate)
            self._limit = int(AHEAD * self._rate) * 2
            self._resampler = Resampler(rate, self._rate) if rate != self._rate else None
            stack.callback(self._stream.close)
            self._stack = stack.pop_all()

    def _open(self, module: Any, audio: Any, device: portaudio.SoundDevice, wanted: int) -> tuple[Any, int]:
        """Open the stream at the first rate the device takes: the voice's own, the device's, the usual ones."""
        rates = list(dict.fromkeys([wanted, device.rate, 48000, 44100]))
        why = ""
        for rate in rates:
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
                why = portaudio.in_words(error)
            else:
                return stream, rate
        tried = ", ".join(str(rate) for rate in rates)
        raise DeviceError(f'The loudspeaker "{device.name}" does not open at {tried} Hz: {why}.', "aplay -l")

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
                self._asked = self._clock.monotonic()
                over = self._complete and not self._queue
                if not over and len(out) < size:
                    self.underruns += 1
            out += bytes(size - len(out))
            if over:
                self._idle.set()
            return bytes(out), complete if over else proceed

        return wanted

    def write(self, samples: Samples) -> None:
        self._put(samples if self._resampler is None else self._resampler.push(samples))

    def _put(self, samples: Samples) -> None:
        data = to_int16(samples).tobytes()
        with self._lock:
            if self._stopped or not data:
                return
            if self._queued + len(data) > self._limit:
                raise BusyError(f"More than {AHEAD:g} s of speech wait to be played.")
            self._queue.append(data)
            self._queued += len(data)

    def ahead(self) -> float:
        self._check()
        with self._lock:
            return self._queued / 2 / self._rate

    def _check(self) -> None:
        with self._lock:
            silent = self._clock.monotonic() - self._asked
            over = self._stopped or (self._complete and not self._queue)
        if not over and (silent > GONE_AFTER or not self._stream.is_active()):
            raise DeviceError(f'The loudspeaker "{self._name}" plays nothing any more.', "was it unplugged?")

    def finish(self) -> None:
        if self._resampler is not None:
            self._put(self._resampler.finish())
        with self._lock:
            self._complete = True

    def played(self, timeout: float) -> bool:
        if self._idle.wait(timeout):
            return True
        self._check()
        return False

    def stop(self) -> None:
        with self._lock:
            self._queue.clear()
            self._queued, self._complete, self._stopped = 0, True, True
        self._idle.set()

    def close(self) -> None:
        self.stop()
        stack, self._stack = self._stack, None
        if stack is not None:
            with captured_stderr():
                stack.close()


class WavSpeaker:
    """Writes each utterance into a WAV file of its own: NAME-1.wav, NAME-2.wav, … Whole or not at all, and never over
    one that is there already."""

    def __init__(self, folder: Path, name: str = "answer") -> None:
        self._folder, self._name = folder, name
        self._writer: WavWriter | None = None
        self._lock = threading.Lock()
        self._number = 1
        #: the file written last.
        self.latest: Path | None = None

    @property
    def name(self) -> str:
        return str(self._folder)

    def start(self, rate: int) -> None:
        self.close()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeviceError(f"{self._folder} cannot be made: {error.strerror}.", "see audio.output") from None
        while (path := self._folder / f"{self._name}-{self._number}.wav").exists():
            self._number += 1
        with self._lock:
            self._writer, self._path = WavWriter(path, rate), path

    def write(self, samples: Samples) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.write(samples)

    def ahead(self) -> float:
        return 0.0

    def finish(self) -> None:
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.commit()
                self.latest = self._path

    def played(self, timeout: float) -> bool:
        return True

    def stop(self) -> None:
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.discard()

    def close(self) -> None:
        self.stop()
