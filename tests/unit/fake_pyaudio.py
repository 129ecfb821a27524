"""A sound card at PyAudio's boundary: tests drive its callbacks by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# ruff: noqa: N815


class Stream:
    def __init__(self, callback: Callable[..., Any], frames: int) -> None:
        self.callback, self.frames = callback, frames
        self.active, self.closed = True, False

    def hear(self, data: bytes, status: int = 0) -> None:
        assert not self.closed, "a closed microphone was given sound"
        self.callback(data, len(data) // 2, {}, status)

    def pull(self) -> tuple[bytes, int]:
        data, flag = self.callback(None, self.frames, {}, 0)
        return data, flag

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.closed = True


class Card:
    """Acts as the pyaudio module. devices: (name, host API, inputs, outputs, rate); rates: those it opens at."""

    paInt16, paContinue, paComplete, paInputOverflow = 8, 0, 1, 2

    def __init__(self, devices: list[tuple[str, str, int, int, int]], rates: tuple[int, ...] = (16000,)) -> None:
        self.devices, self.rates = list(devices), rates
        self.streams: list[Stream] = []
        self.sessions = 0
        self.broken = False
        self.opened: list[dict[str, Any]] = []

    def PyAudio(self) -> Card:  # noqa: N802 - PyAudio's name
        if self.broken:
            raise OSError("no driver")
        self.sessions += 1
        return self

    def terminate(self) -> None:
        self.sessions -= 1

    def get_device_count(self) -> int:
        return len(self.devices)

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        name, api, inputs, outputs, rate = self.devices[index]
        return {
            "name": name,
            "hostApi": api,
            "maxInputChannels": inputs,
            "maxOutputChannels": outputs,
            "defaultSampleRate": float(rate),
        }

    def get_host_api_info_by_index(self, index: str) -> dict[str, str]:
        return {"name": index}

    def open(self, rate: int, channels: int, form: int, **options: Any) -> Stream:
        if rate not in self.rates:
            raise OSError(-9997, "Invalid sample rate")
        self.opened.append({"rate": rate, "channels": channels, **options})
        stream = Stream(options["stream_callback"], options["frames_per_buffer"])
        self.streams.append(stream)
        return stream
