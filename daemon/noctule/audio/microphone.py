"""A real microphone, through PortAudio's callback: its blocking read cannot be given a timeout, and a device that is
pulled out would hold the reader for ever.
"""

from __future__ import annotations

import queue
from contextlib import ExitStack
from typing import Any

import numpy as np

from noctule.audio import portaudio
from noctule.audio.chunk import RATE, Chunk, Framer, to_int16
from noctule.audio.resample import Resampler
from noctule.core.clock import Clock, SystemClock
from noctule.core.errors import DeviceError
from noctule.core.native_stderr import captured_stderr

#: blocks of 10 ms that may wait; a reader that is later than half a second loses the oldest, counted.
QUEUE = 50
#: seconds without a block after which the device counts as gone.
GONE_AFTER = 1.5


class Microphone:
    """device: part of its name, "" for the default; rate: Hz, 0 to choose; channel: counted from 1, 0 mixes all."""

    def __init__(
        self, device: str = "", rate: int = 0, channel: int = 1, *, module: Any = None, clock: Clock | None = None
    ) -> None:
        self._wanted, self._rate_wanted, self._channel = device, rate, channel
        self._module = module
        self._clock = clock or SystemClock()
        self._stack: ExitStack | None = None
        self._name = device or "default microphone"
        #: blocks lost because the reader was late, and buffers lost in the driver.
        self.dropped = 0
        self.overflows = 0
        #: the rate the device really runs at.
        self.rate = 0
        #: samples the device gave since it was opened, lost ones included; and the one that is due.
        self._captured = self._expected = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def steady(self) -> bool:
        return True

    def open(self) -> None:
        self.close()
        module = self._module or portaudio.load()
        self._queue: queue.Queue[tuple[bytes, float, int]] = queue.Queue(QUEUE)
        self._captured = self._expected = 0
        with ExitStack() as stack:
            audio = stack.enter_context(portaudio.session(module))
            device = portaudio.choose(portaudio.devices(audio), self._wanted, inputs=True)
            if self._channel > device.inputs:
                raise DeviceError(
                    f'"{device.name}" has {device.inputs} channels, so there is no channel {self._channel}.',
                    "correct audio.channel",
                )
            self._name = device.name
            self._channels = min(device.inputs, max(self._channel, 1)) if self._channel else device.inputs
            self._stream, self.rate = self._start(module, audio, device)
            stack.callback(self._end_stream)
            self._stack = stack.pop_all()
        self._framer = Framer()
        self._resampler = Resampler(self.rate, RATE)
        self._heard = self._clock.monotonic()

    def _start(self, module: Any, audio: Any, device: portaudio.SoundDevice) -> tuple[Any, int]:
        """Open the stream at the first rate the device takes: the configured one, ours, its own."""
        rates = [self._rate_wanted] if self._rate_wanted else list(dict.fromkeys([RATE, device.rate, 48000, 44100]))
        why = ""
        for rate in rates:
            try:
                with captured_stderr():
                    stream = audio.open(
                        rate,
                        self._channels,
                        module.paInt16,
                        input=True,
                        input_device_index=device.index,
                        frames_per_buffer=rate // 100,
                        stream_callback=self._callback(module),
                    )
            except (OSError, ValueError) as error:
                why = portaudio.in_words(error)
            else:
                return stream, rate
        tried = ", ".join(str(rate) for rate in rates)
        raise DeviceError(f'The microphone "{device.name}" does not open at {tried} Hz: {why}.', "arecord -l")

    def _callback(self, module: Any) -> Any:
        proceed, overflow = module.paContinue, module.paInputOverflow

        def heard(data: bytes, frames: int, info: Any, status: int) -> tuple[None, int]:
            # PortAudio's own thread: hand over and leave.
            if status & overflow:
                self.overflows += 1
                self._captured += frames  # how much the driver lost it does not say: one block, at least
            item = (data, self._clock.monotonic(), self._captured)
            self._captured += frames
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                self.dropped += 1
                try:
                    self._queue.get_nowait()
                    self._queue.put_nowait(item)
                except (queue.Empty, queue.Full):
                    pass
            return None, proceed

        return heard

    def read(self, timeout: float) -> Chunk | None:
        if self._stack is None:
            raise DeviceError(f'The microphone "{self._name}" is not open.')
        try:
            data, at, first = self._queue.get(timeout=max(0.001, timeout))
        except queue.Empty:
            silent = self._clock.monotonic() - self._heard
            if not self._stream.is_active() or silent > GONE_AFTER:
                raise DeviceError(
                    f'The microphone "{self._name}" delivers nothing any more ({silent:.1f} s).', "was it unplugged?"
                ) from None
            return None
        self._heard = at
        block = np.frombuffer(data, np.int16).reshape(-1, self._channels)
        if first != self._expected:  # blocks were lost in the queue or in the driver
            self._framer.skip(round((first - self._expected) * RATE / self.rate))
        self._expected = first + len(block)
        if self._channel == 0 and self._channels > 1:
            mono = block.mean(axis=1, dtype=np.float32) / 32768
        elif self.rate == RATE:
            return self._framer.push(np.ascontiguousarray(block[:, max(0, self._channel - 1)]), at)
        else:
            mono = block[:, max(0, self._channel - 1)].astype(np.float32) / 32768
        return self._framer.push(to_int16(self._resampler.push(mono)), at)

    def _end_stream(self) -> None:
        with captured_stderr():
            self._stream.close()

    def close(self) -> None:
        """Close the device itself: nothing can be heard until `open`."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            stack.close()
