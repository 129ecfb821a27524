"""Microphone, WAV and pipe sources deliver whole, stamped hops, or say in words why they cannot."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from fake_pyaudio import Card

from noctule.audio.chunk import HOP, RATE, EndOfSound, SoundSource
from noctule.audio.microphone import QUEUE, Microphone
from noctule.audio.portaudio import choose, devices, session
from noctule.audio.sources import PcmSource, WavSource
from noctule.audio.wav_writer import WavWriter
from noctule.core.clock import ManualClock
from noctule.core.errors import DeviceError, InputError

CARD = [
    ("vc4-hdmi", "ALSA", 0, 2, 48000),
    ("USB Mic: Audio (hw:1,0)", "ALSA", 2, 0, 44100),
    ("x", "JACK", 9, 9, 48000),
]


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    with WavWriter(path, rate) as writer:
        writer.write(samples.astype(np.float32) / 32767)
    return path


def everything(source: SoundSource) -> np.ndarray:
    out = []
    try:
        while True:
            chunk = source.read(1)
            assert chunk is not None
            assert chunk.index == sum(map(len, out))
            assert len(chunk.samples) % HOP == 0
            out.append(chunk.samples)
    except EndOfSound:
        return np.concatenate(out)


def test_a_wav_file_arrives_whole_and_its_last_hop_is_filled_up(tmp_path: Path) -> None:
    said = np.arange(-400, 401, dtype=np.int16) * 10
    source = WavSource(wav(tmp_path / "a.wav", said), paced=False, trail=0.1)
    source.open()
    heard = everything(source)
    assert np.array_equal(heard[: len(said)], said)
    assert not heard[len(said) :].any()
    assert len(heard) >= len(said) + RATE // 10
    assert len(heard) % HOP == 0
    source.close()
    source.close()
    assert source.name == "a.wav"


def test_a_paced_wav_is_not_ahead_of_the_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    source = WavSource(wav(tmp_path / "a.wav", np.ones(HOP * 3)), clock=clock)
    source.open()
    start = clock.monotonic()
    assert source.read(0) is None, "a hop was delivered before it was spoken"
    clock.advance(0.0101)
    first = source.read(0)
    assert first is not None
    assert first.time == pytest.approx(start)
    assert source.read(0) is None
    clock.advance(10)
    second, third = source.read(0), source.read(0)
    assert second is not None
    assert third is not None
    assert third.time == pytest.approx(start + 0.02)
    with pytest.raises(EndOfSound):
        source.read(0)
    source.close()


def test_a_wav_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"not sound")
    with pytest.raises(InputError):
        WavSource(tmp_path / "x.wav").open()


def test_the_microphone_is_chosen_by_name_alsa_first_and_resampled() -> None:
    card = Card(CARD, rates=(44100,))
    microphone = Microphone("usb mic", channel=2, module=card)
    microphone.open()
    assert microphone.name == "USB Mic: Audio (hw:1,0)"
    assert microphone.rate == 44100
    assert card.opened[0]["channels"] == 2
    assert card.opened[0]["input_device_index"] == 1
    t = np.arange(44100) / 44100
    both = np.stack([np.zeros(44100), 8000 * np.sin(2 * np.pi * 440 * t)], axis=1).astype(np.int16)
    heard = []
    for start in range(0, 44100, 441):
        card.streams[0].hear(both[start : start + 441].tobytes())
        if (chunk := microphone.read(0.01)) is not None:
            heard.append(chunk.samples)
    samples = np.concatenate(heard).astype(float)
    spectrum = np.abs(np.fft.rfft(samples[:8000] * np.hanning(8000)))
    assert np.argmax(spectrum) * 2 == 440, "the second channel's tone keeps its pitch"
    assert samples.std() == pytest.approx(8000 / np.sqrt(2), rel=0.03)
    microphone.close()
    assert card.streams[0].closed
    assert card.sessions == 0
    with pytest.raises(DeviceError, match="not open"):
        microphone.read(0.01)


def test_a_late_reader_loses_the_oldest_blocks_and_they_are_counted() -> None:
    card = Card(CARD)
    microphone = Microphone(module=card)
    microphone.open()
    for i in range(QUEUE + 7):
        card.streams[0].hear(np.full(HOP * 2, i, np.int16).tobytes(), status=2 if i == 0 else 0)
    first = microphone.read(0.01)
    assert first is not None
    assert first.samples[0] == 7
    assert microphone.dropped == 7
    assert microphone.overflows == 1
    microphone.close()


def test_an_unplugged_microphone_is_an_error_and_comes_back() -> None:
    card, clock = Card(CARD), ManualClock()
    microphone = Microphone(module=card, channel=0, clock=clock)
    microphone.open()
    assert microphone.read(0.001) is None
    card.streams[0].hear(np.array([[100, 300]] * HOP, np.int16).tobytes())
    chunk = microphone.read(0.001)
    assert chunk is not None
    assert chunk.samples.tolist() == [200] * HOP, "channel 0 mixes"
    clock.advance(2)
    with pytest.raises(DeviceError, match=r"delivers nothing any more \(2\.0 s\)"):
        microphone.read(0.001)
    card.devices.append(("Other Mic", "ALSA", 1, 0, 16000))
    microphone.open()
    assert card.streams[0].closed
    assert len(card.streams) == 2
    card.streams[1].active = False
    with pytest.raises(DeviceError, match="delivers nothing"):
        microphone.read(0.001)


def test_what_cannot_be_opened_is_said() -> None:
    card = Card(CARD, rates=())
    with pytest.raises(DeviceError, match="does not open at 16000, 44100, 48000 Hz"):
        Microphone(module=card).open()
    with pytest.raises(DeviceError, match="no microphone named"):
        Microphone("webcam", module=card).open()
    with pytest.raises(DeviceError, match="no channel 5"):
        Microphone("USB", channel=5, module=card).open()
    assert card.sessions == 0, "PortAudio was left open"
    card.broken = True
    with pytest.raises(DeviceError, match="The sound system does not start here"):
        Microphone(module=card).open()
    with pytest.raises(DeviceError, match="has no loudspeaker"):
        choose([], "", inputs=False)
    with session(Card(CARD)) as audio:
        assert [d.api for d in devices(audio)] == ["ALSA", "ALSA", "JACK"]


def test_a_pipe_outlives_its_writers(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = PcmSource(path)
    source.open()
    assert source.read(0) is None
    for value in (1, 2):
        with path.open("wb", buffering=0) as writer:
            writer.write(np.full(HOP, value, "<i2").tobytes()[:-1])
            assert source.read(0.1) is None, "half a sample is kept back"
            writer.write(np.full(1, value, "<i2").tobytes()[-1:])
            chunk = source.read(1)
            assert chunk is not None
            assert chunk.samples.tolist() == [value] * HOP
    source.close()
    source.close()
    with pytest.raises(DeviceError, match="not open"):
        source.read(0)


def test_a_socket_source_says_when_the_other_side_leaves(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        served = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(np.full(HOP * 2, 9, "<i2").tobytes())
            served.set()

        thread = threading.Thread(target=serve)
        thread.start()
        source = PcmSource(path)
        source.open()
        assert served.wait(5)
        thread.join(5)
        chunk = source.read(1)
        assert chunk is not None
        assert len(chunk.samples) == HOP * 2
        with pytest.raises(DeviceError, match="closed by the other side"):
            source.read(1)
        source.close()


def test_a_pcm_source_must_be_a_pipe_or_a_socket(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(DeviceError, match="neither a pipe nor a socket"):
        PcmSource(tmp_path / "plain").open()
    with pytest.raises(DeviceError, match="cannot be opened"):
        PcmSource(tmp_path / "absent").open()
    assert PcmSource(tmp_path / "absent").name.endswith("absent")
