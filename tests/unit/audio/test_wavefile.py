"""WAV input and output: every sample format, every way a file can be broken, and bounded memory."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noctule.audio.wav_writer import WavWriter
from noctule.audio.wavefile import WavReader
from noctule.core.errors import InputError

RATE = 24_000


def header(data: int, *, code: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + data & 0xFFFFFFFF, b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate, rate * block, block, bits)
        + struct.pack("<4sI", b"data", data)
    )


def write(path: Path, body: bytes, **kind: int) -> Path:
    path.write_bytes(header(len(body), **kind) + body)
    return path


def read(path: Path) -> np.ndarray:
    with WavReader(path) as wav:
        return np.concatenate(list(wav.blocks()))


def tone(count: int = 480, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(np.arange(count) / 7)).astype(np.float32)


def packed24(x: np.ndarray) -> bytes:
    return x.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


@pytest.mark.parametrize(
    ("bits", "code", "encode", "tolerance"),
    [
        (8, 1, lambda x: (x * 128 + 128).round().astype(np.uint8).tobytes(), 5e-3),
        (16, 1, lambda x: (x * 2**15).round().astype("<i2").tobytes(), 2e-5),
        (24, 1, lambda x: packed24((x * 2**23).round().astype("<i4")), 2e-7),
        (32, 1, lambda x: (x.astype(np.float64) * 2**31).round().astype("<i4").tobytes(), 1e-7),
        (32, 3, lambda x: x.astype("<f4").tobytes(), 0.0),
        (64, 3, lambda x: x.astype("<f8").tobytes(), 0.0),
    ],
)
def test_every_sample_format(tmp_path, bits, code, encode, tolerance):
    path = write(tmp_path / "a.wav", encode(tone()), bits=bits, code=code)
    np.testing.assert_allclose(read(path), tone(), atol=tolerance, rtol=0)


def test_extensible_header_and_unknown_chunks_are_read(tmp_path):
    body = (tone() * 2**15).astype("<i2").tobytes()
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, RATE * 2, 2, 16, 22, 16, 4) + guid
    chunks = struct.pack("<4sI", b"LIST", 3) + b"abc\0" + struct.pack("<4sI", b"fmt ", len(form)) + form
    chunks += struct.pack("<4sI", b"data", len(body)) + body + struct.pack("<4sI", b"LIST", 4) + b"tail"
    path = tmp_path / "x.wav"
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks)
    assert len(read(path)) == len(tone())


def test_stereo_is_mixed(tmp_path):
    left, right = tone(), tone(amplitude=0.25)
    both = np.stack([left, right], axis=1)
    path = write(tmp_path / "s.wav", both.astype("<f4").tobytes(), code=3, bits=32, channels=2)
    np.testing.assert_allclose(read(path), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_recorders_unknown_size_is_read_to_the_end(tmp_path, size):
    body = (tone() * 2**15).astype("<i2").tobytes()
    path = tmp_path / "pipe.wav"
    path.write_bytes(header(size) + body)
    assert len(read(path)) == len(tone())


def test_rf64_takes_its_size_from_ds64(tmp_path):
    body = (tone() * 2**15).astype("<i2").tobytes()
    start = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE")
    start += struct.pack("<4sIQQQI", b"ds64", 28, 0, len(body), 0, 0)
    path = tmp_path / "big.wav"
    path.write_bytes(start + header(0xFFFFFFFF)[12:] + body + b"garbage after the audio")
    assert len(read(path)) == len(tone())


def one_sentence(error: InputError, *words: str) -> None:
    text = error.explain()
    assert "\n" not in text
    assert "Traceback" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"RI", "ends inside its WAV header"),
        (header(100)[:20], "ends inside its WAV header"),
        (header(100)[:40], "ends inside its WAV header"),
        (b"OggS" + bytes(100), "is not a WAV file"),
        (b"ID3", "is not a WAV file"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "is not a WAV file"),
        (header(8, code=2) + bytes(8), "ADPCM"),
        (header(8, code=6, bits=8) + bytes(8), "A-law"),
        (header(8, code=0x1234) + bytes(8), "0x1234"),
        (header(8, bits=12) + bytes(8), "12 bits"),
        (header(8, code=3, bits=16) + bytes(8), "16 bits"),
        (header(8, channels=0) + bytes(8), "broken format chunk"),
        (header(8, rate=0) + bytes(8), "broken format chunk"),
        (header(0)[:12] + header(8)[36:] + bytes(8), "no format chunk"),
        (header(0)[:12] + struct.pack("<4sI", b"fmt ", 9) + bytes(9), "format chunk of 9 bytes"),
        (header(0)[:12] + struct.pack("<4sI", b"ds64", 4) + bytes(4), "ds64"),
    ],
)
def test_each_broken_header_is_one_sentence(tmp_path, content, word):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        WavReader(path)
    one_sentence(caught.value, str(path), word)


def test_missing_file_folder_and_device_are_one_sentence(tmp_path):
    for path in (tmp_path / "none.wav", tmp_path, Path("/dev/null")):
        with pytest.raises(InputError) as caught:
            WavReader(path)
        one_sentence(caught.value, str(path))


def test_no_audio_is_refused_when_read(tmp_path):
    path = write(tmp_path / "e.wav", b"")
    with WavReader(path) as wav, pytest.raises(InputError, match="holds no audio"):
        list(wav.blocks())


def test_nan_is_refused_with_its_time(tmp_path):
    samples = tone(RATE)
    samples[5] = np.nan
    path = write(tmp_path / "n.wav", samples.astype("<f4").tobytes(), code=3, bits=32)
    with WavReader(path) as wav, pytest.raises(InputError, match=r"not a number near second 0\.0"):
        list(wav.blocks())


def test_a_double_that_no_float_can_hold_is_refused(tmp_path):
    path = write(tmp_path / "d.wav", np.full(10, 1e300).astype("<f8").tobytes(), code=3, bits=64)
    with WavReader(path) as wav, pytest.raises(InputError, match="not a number"):
        list(wav.blocks())


def test_cut_short_keeps_what_is_there_and_warns(tmp_path):
    body = (tone(RATE) * 2**15).astype("<i2").tobytes()
    path = tmp_path / "cut.wav"
    path.write_bytes(header(len(body) * 3) + body + b"\1")  # half a sample at the end too
    with WavReader(path) as wav:
        assert sum(len(b) for b in wav.blocks()) == RATE
        assert len(wav.warnings) == 1
        assert "ends after 1.0 s" in wav.warnings[0]


@pytest.mark.parametrize("block", [7, 65_536])
def test_clipping_is_counted_over_block_borders(tmp_path, block):
    loud = np.clip(3 * np.sin(np.arange(RATE) / 10), -1, 1).astype(np.float32)
    path = write(tmp_path / "c.wav", (loud * 32767).astype("<i2").tobytes())
    with WavReader(path) as wav:
        list(wav.blocks(block))
        flips = int((np.diff(np.sign(np.sin(np.arange(RATE) / 10))) != 0).sum())
        assert len(wav.warnings) == 1
        count = int(wav.warnings[0].split("clipped in ")[1].split()[0])
        assert abs(count - flips) <= 1


def test_a_loud_clean_file_is_not_called_clipped(tmp_path):
    path = write(tmp_path / "l.wav", (tone(RATE, 0.98) * 32767).astype("<i2").tobytes())
    with WavReader(path) as wav:
        list(wav.blocks())
        assert wav.warnings == []


def test_other_rates_arrive_in_whole_frames_at_the_wanted_rate(tmp_path):
    time = np.arange(44_100) / 44_100
    body = (0.5 * np.sin(2 * np.pi * 440 * time)).astype("<f4").tobytes()
    path = write(tmp_path / "44.wav", body, code=3, bits=32, rate=44_100)
    with WavReader(path) as wav:
        frames = list(wav.at_rate(RATE, 1920))
    assert {f.shape for f in frames} == {(1920,)}
    assert len(frames) == 13  # 24,000 samples are 12.5 frames; the last is half silence
    got = np.concatenate(frames)[1000:23_000]
    want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)[1000:23_000]
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert not frames[-1][1200:].any()


def test_ten_hours_are_read_in_bounded_memory(tmp_path):
    path = tmp_path / "long.wav"
    seconds = 36_000
    with path.open("wb") as f:  # a sparse file: no disk is used
        f.write(header(seconds * 2_000 * 2, rate=2_000))
        f.truncate(44 + seconds * 2_000 * 2)
    tracemalloc.start()
    with WavReader(path) as wav:
        total = sum(len(b) for b in wav.blocks(1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == seconds * 2_000
    assert peak < 64e6


def test_written_files_read_back_and_appear_only_when_whole(tmp_path):
    path = tmp_path / "out.wav"
    with WavWriter(path, RATE) as out:
        out.write(tone())
        out.write(np.array([2.0, -2.0], np.float32))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    back = read(path)
    np.testing.assert_allclose(back[:-2], tone(), atol=5e-5)
    np.testing.assert_allclose(back[-2:], [1.0, -1.0], atol=1e-4)


def test_a_failed_write_leaves_nothing(tmp_path):
    def cut_off() -> None:
        with WavWriter(tmp_path / "out.wav", RATE) as out:
            out.write(tone())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cut_off()
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_one_sentence(tmp_path):
    for path in (tmp_path / "no" / "out.wav", tmp_path):
        with pytest.raises(InputError) as caught:
            WavWriter(path, RATE)
        one_sentence(caught.value, str(path))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=80)
    | st.builds(
        lambda at, junk, tail: (header(64)[:at] + junk + header(64)[at + len(junk) :] + bytes(64))[: 108 - tail],
        st.integers(0, 44),
        st.binary(max_size=8),
        st.integers(0, 100),
    )
)
def test_no_bytes_make_anything_but_samples_or_one_sentence(tmp_path, content):
    path = tmp_path / "fuzz.wav"
    path.write_bytes(content)
    try:
        with WavReader(path) as wav:
            for block in wav.blocks(1000):
                assert np.isfinite(block).all()
    except InputError as error:
        one_sentence(error, str(path))


def two(left: np.ndarray, right: np.ndarray) -> bytes:
    return np.stack([left, right], axis=1).astype("<f4").tobytes()


def test_channels_that_cancel_each_other_are_not_averaged(tmp_path):
    path = write(tmp_path / "s.wav", two(tone(4800), -tone(4800)), code=3, bits=32, channels=2)
    with WavReader(path) as wav:
        np.testing.assert_array_equal(np.concatenate(list(wav.blocks(480))), tone(4800))
        assert wav.warnings == [f"{path}: its channels cancel each other: channel 1 of 2 is heard alone"]


def test_the_louder_of_two_channels_that_cancel_is_taken_and_one_silent_channel_is_no_reason(tmp_path):
    path = write(tmp_path / "a.wav", two(-0.4 * tone(4800), tone(4800)), code=3, bits=32, channels=2)
    np.testing.assert_array_equal(read(path), tone(4800))
    path = write(tmp_path / "b.wav", two(tone(4800), 0 * tone(4800)), code=3, bits=32, channels=2)
    with WavReader(path) as wav:
        np.testing.assert_allclose(np.concatenate(list(wav.blocks())), tone(4800) / 2, atol=1e-7)
        assert wav.warnings == []


def test_one_microphone_of_an_array_is_not_drowned_by_seven_silent_ones(tmp_path):
    eight = np.zeros((4800, 8), np.float32)
    eight[:, 5] = tone(4800)
    path = write(tmp_path / "m.wav", eight.tobytes(), code=3, bits=32, channels=8)
    np.testing.assert_array_equal(read(path), tone(4800))


def pcm(count: int = 480) -> bytes:
    return (tone(count) * 2**15).astype("<i2").tobytes()


@pytest.mark.parametrize("between", [b"", b"LIST\x04\0\0\0abcd", b"LIST\x03\0\0\0abc\0"])
def test_a_second_data_chunk_is_heard(tmp_path, between):
    path = tmp_path / "two.wav"
    path.write_bytes(header(960) + pcm() + between + struct.pack("<4sI", b"data", 480) + pcm(240))
    with WavReader(path) as wav:
        heard = np.concatenate(list(wav.blocks()))
        assert wav.warnings == []
    np.testing.assert_array_equal(heard, np.frombuffer(pcm() + pcm(240), "<i2") / np.float32(2**15))


def test_a_recording_put_behind_another_is_heard_where_its_format_is_the_same(tmp_path):
    path = tmp_path / "cat.wav"
    path.write_bytes((header(960) + pcm()) * 3)
    assert len(read(path)) == 3 * 480
    path.write_bytes(header(960) + pcm() + header(960, rate=8000) + pcm())
    with WavReader(path) as wav:
        assert len(np.concatenate(list(wav.blocks()))) == 480
        assert wav.warnings == [f"{path}: only the first 0.0 s are read: what follows has another format"]


def test_sound_behind_a_length_that_was_never_brought_up_to_date_is_told(tmp_path):
    path = tmp_path / "stale.wav"
    path.write_bytes(header(960) + pcm(48_000))
    with WavReader(path) as wav:
        assert len(np.concatenate(list(wav.blocks()))) == 480
        assert len(wav.warnings) == 1
        assert "what follows is no chunk" in wav.warnings[0]


@pytest.mark.parametrize("size", [0, 0x80000000, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFDC])
def test_the_length_of_a_recorder_that_was_killed_is_as_good_as_any(tmp_path, size):
    path = tmp_path / "killed.wav"
    path.write_bytes(header(size) + pcm(4800))
    with WavReader(path) as wav:
        assert len(np.concatenate(list(wav.blocks()))) == 4800
        assert wav.warnings == []


def test_a_length_that_is_not_there_is_still_told(tmp_path):
    path = tmp_path / "short.wav"
    path.write_bytes(header(96_000) + pcm(4800))
    with WavReader(path) as wav:
        assert len(np.concatenate(list(wav.blocks()))) == 4800
        assert len(wav.warnings) == 1
        assert "the rest is missing" in wav.warnings[0]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"ID3\x03" + bytes(100), "an MP3 recording"),
        (b"OggS" + bytes(100), "an Ogg recording"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
    ],
)
def test_another_kind_of_file_is_told_for_what_it_is(tmp_path, data, what):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(InputError, match=what):
        WavReader(path)


def test_a_pipe_is_read_like_a_file(tmp_path):
    import subprocess
    import sys

    body = header(0xFFFFFFFF) + b"" + pcm(4800)
    junk = struct.pack("<4sI4s", b"RIFF", 0xFFFFFFFF, b"WAVE") + struct.pack("<4sI", b"LIST", 70_001) + bytes(70_002)
    code = (
        "import numpy as np; from pathlib import Path; from noctule.audio.wavefile import WavReader;"
        "wav = WavReader(Path({!r})); print(len(np.concatenate(list(wav.blocks()))), wav.warnings)"
    )
    for name in ("-", "/dev/stdin"):
        for data in (body, junk + body[12:], header(9600) + pcm(4800)):
            done = subprocess.run(
                [sys.executable, "-c", code.format(name)], input=data, capture_output=True, check=False
            )
            assert done.stdout.decode().strip() == "4800 []", done.stderr


@pytest.mark.parametrize("between", [b"", b"LIST\x04\0\0\0abcd"])
def test_data_that_is_no_whole_frame_does_not_shift_what_follows(tmp_path, between):
    """24 bit stereo in a chunk of ten bytes: one frame, four bytes over; then another chunk of sound."""
    frame = bytes.fromhex("000040 000040".replace(" ", ""))
    second = struct.pack("<4sI", b"data", 12) + frame * 2
    path = tmp_path / "odd.wav"
    path.write_bytes(header(10, channels=2, bits=24) + frame + b"\1\2\3\4" + between + second)
    with WavReader(path) as wav:
        np.testing.assert_allclose(np.concatenate(list(wav.blocks())), [0.5, 0.5, 0.5], atol=1e-6)
        assert wav.warnings == []


def test_a_recording_beyond_four_gigabytes_has_all_its_sound(tmp_path):
    """The header's count began again at 0; the file is sparse, so it takes no room."""
    path = tmp_path / "long.wav"
    size = (1 << 32) + 48_000
    with path.open("wb") as file:
        file.write(header(48_000))
        file.truncate(44 + size)
    with WavReader(path) as wav:
        assert wav.format.frames == size // 2


def test_metadata_behind_the_sound_is_no_sound(tmp_path):
    path = tmp_path / "meta.wav"
    path.write_bytes(
        header(960) + pcm() + struct.pack("<4sI", b"LIST", 1000) + bytes(range(250)) * 4 + b"C2PA\2\0\0\0ab"
    )
    with WavReader(path) as wav:
        assert len(np.concatenate(list(wav.blocks()))) == 480
        assert wav.warnings == []
