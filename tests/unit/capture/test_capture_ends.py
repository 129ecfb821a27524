"""Every input has an end: raw streams, single pictures, live recordings, pipes; and its times the stream's own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from capture_world import ffmpeg, number_in, video
from noctule.capture.files.extract import FileShots, Plan, extract_file
from noctule.capture.files.files import DiskFullError, FolderWriter
from noctule.cli import run_command
from noctule.core.errors import InputError

YUV = ["-pix_fmt", "yuv420p"]
RAW: dict[str, tuple[list[str], str, int]] = {
    "camera.h264": (
        ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "24", *YUV, "-f", "h264"],
        "24",
        24,
    ),
    "camera.hevc": (
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=24", *YUV, "-f", "hevc"],
        "24",
        24,
    ),
    "camera.m2v": (["-c:v", "mpeg2video", "-q:v", "2", "-g", "12", *YUV, "-f", "mpeg2video"], "25", 25),
    "camera.m4v": (["-c:v", "mpeg4", "-q:v", "2", "-g", "12", *YUV, "-f", "m4v"], "10", 10),
}


def shown(path: Path, plan: Plan, rate: Fraction | None = None) -> list[tuple[float, int | None]]:
    """(time, number drawn in it) of each picture."""
    shots = list(extract_file(path, plan, rate=rate))
    return [(float(s.frame.pts), number_in(s.frame.luma())) for s in shots if s.frame is not None]


@pytest.mark.parametrize("name", list(RAW))
def test_a_raw_stream_ends_and_keeps_its_own_time(name: str) -> None:
    encoder, rate, per_second = RAW[name]
    seconds = 5
    path = video(name, encoder, seconds * per_second, rate)
    assert shown(path, Plan("every")) == [(float(s), s * per_second) for s in range(seconds)]
    (alone,) = shown(path, Plan("at", times=(Fraction(seconds - 1),)))
    assert alone == (float(seconds - 1), (seconds - 1) * per_second)
    for time, number in shown(path, Plan("keyframes")):
        assert number is not None
        assert time == pytest.approx(number / per_second)
    with pytest.raises(InputError, match=rf"ends at {seconds:g}\.000 s"):
        shown(path, Plan("at", times=(Fraction(seconds + 1),)))


def test_a_stream_without_any_rate_says_so_and_takes_one() -> None:
    path = video("camera.mjpeg", ["-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", "-f", "mjpeg"], 40, "10")
    shots = FileShots(path, Plan("every"))
    assert len(list(shots)) == 2
    (note,) = shots.notes
    assert "25 pictures a second are assumed" in note
    told = FileShots(path, Plan("every"), rate=Fraction(10))
    assert [float(s.frame.pts) for s in told if s.frame] == [0, 1, 2, 3]
    assert told.notes == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp", "pgm", "mp4", "%03d.png"])
@pytest.mark.parametrize("mode", ["every", "nth", "keyframes", "scenes"])
def test_a_picture_file_gives_one_picture(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / (suffix if suffix.startswith("%") else f"one.{suffix}")
    Image.new("RGB", (64, 48), (200, 30, 30)).save(path, "PNG" if suffix == "mp4" else None)
    (shot,) = extract_file(path, Plan(mode))
    assert shot.frame is not None
    assert (shot.frame.width, shot.frame.height) == (64, 48)
    if suffix not in ("jpg", "gif", "%03d.png"):  # these come with a length
        with pytest.raises(InputError, match="holds one picture"):
            list(extract_file(path, Plan("at", times=(Fraction(5),))))


def test_a_gif_that_loops_for_ever_is_played_once(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 48), (40 * i, 0, 0)) for i in range(6)]
    path = tmp_path / "loop.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=500, loop=0)
    assert len(list(extract_file(path, Plan("nth", n=1)))) == 6
    assert len(list(extract_file(path, Plan("every")))) == 3


def live_matroska() -> bytes:
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", *YUV]
    source = video("for_pipe.mp4", encoder)
    command = ["ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", "-f", "matroska", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_recording_written_live_ends_where_it_was_when_it_was_opened(tmp_path: Path) -> None:
    data = live_matroska()
    path = tmp_path / "live.mkv"
    path.write_bytes(data[: len(data) // 2])
    shots = FileShots(path, Plan("nth", n=1))
    path.write_bytes(data)  # it grows meanwhile
    half = [number_in(s.frame.luma()) for s in shots if s.frame is not None]
    assert half == list(range(len(half)))
    assert 40 <= len(half) < 120
    assert any("still grows" in note for note in shots.notes)
    assert len(list(extract_file(path, Plan("every")))) == 5


def test_two_recordings_in_one_transport_stream_are_both_seen(tmp_path: Path) -> None:
    first = video("half.ts", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "24", *YUV], 48)
    path = tmp_path / "twice.ts"
    path.write_bytes(first.read_bytes() * 2)
    shots = FileShots(path, Plan("every"))
    seen = [(float(s.frame.pts), number_in(s.frame.luma())) for s in shots if s.frame is not None]
    assert [number for _, number in seen] == [0, 24, 0, 24]
    assert [time for time, _ in seen] == pytest.approx([0, 1, 2, 3], abs=0.001)
    (note,) = shots.notes
    assert "begins again after 2.0 s" in note
    (late,) = shown(path, Plan("at", times=(Fraction(7, 2),)))
    assert late[1] == 36


def test_a_recording_that_breaks_off_says_where(tmp_path: Path) -> None:
    source = video("for_pipe.mp4", ["-c:v", "libx264", "-preset", "ultrafast", *YUV])
    whole = ffmpeg(tmp_path / "whole.mkv", "-i", str(source), "-c", "copy")
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    shots = FileShots(tmp_path / "cut.mkv", Plan("every"))
    assert len(list(shots)) == 5
    (note,) = shots.notes
    assert "says that it ends at 5.0 s; its last picture is at 1." in note
    complete = FileShots(whole, Plan("every"))
    assert len(list(complete)) == 5
    assert complete.notes == []


def test_many_recordings_in_one_transport_stream(tmp_path: Path) -> None:
    """Segments put together as bytes: each begins its clock again."""
    part = video("half.ts", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "24", *YUV], 48)
    path = tmp_path / "five.ts"
    path.write_bytes(part.read_bytes() * 5)
    assert [number for _, number in shown(path, Plan("every"))] == [0, 24] * 5


def test_a_length_that_is_a_lie_makes_no_pictures(tmp_path: Path) -> None:
    """A head that claims a hundred days: the last picture is not given ten million times."""
    source = video("for_pipe.mp4", ["-c:v", "libx264", "-preset", "ultrafast", *YUV])
    path = ffmpeg(tmp_path / "lie.mkv", "-i", str(source), "-c", "copy")
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a float64 of milliseconds
    import struct

    assert struct.unpack(">d", data[at : at + 8])[0] == pytest.approx(5000, abs=50)
    data[at : at + 8] = struct.pack(">d", 100 * 86400 * 1000.0)
    path.write_bytes(data)
    shots = FileShots(path, Plan("every"))
    assert len(list(shots)) <= 5 + 61
    assert any("its last picture is at" in note for note in shots.notes)


def piped(arguments: list[str], data: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "noctule", "extract", *arguments],
        input=data, capture_output=True, cwd=folder, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_pipe(tmp_path: Path, name: str) -> None:
    done = piped([name, "--every", "2", "-o", "out"], live_matroska(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"a pipe may never end" in done.stderr
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert [entry["pts"] for entry in index["pictures"]] == pytest.approx([0, 2, 4], abs=0.05)


def test_a_pipe_that_never_ends_is_bounded(tmp_path: Path) -> None:
    command = f"{sys.executable} -m noctule extract - --nth 1 --limit 7 -o out"
    feed = "ffmpeg -v quiet -re -f lavfi -i testsrc2=s=64x48:r=30 -c:v libx264 -preset ultrafast -f matroska -"
    done = subprocess.run(
        ["bash", "-c", f"{feed} | {command}"], cwd=tmp_path, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out/index.json").read_text())["pictures"]) == 7


def test_an_mp4_cannot_come_through_a_pipe_and_says_so(tmp_path: Path) -> None:
    source = ffmpeg(
        tmp_path / "long.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=30:d=8", "-c:v", "libx264", *YUV
    )
    done = piped(["-", "-o", "out"], source.read_bytes(), tmp_path)
    assert done.returncode == 65
    assert b"cannot be read from a pipe" in done.stderr


def cut(path: Path) -> bytes:
    return path.read_bytes()[: path.stat().st_size // 2]


def animated(path: Path) -> bytes:
    pictures = [Image.new("RGB", (32, 32), (80 * i, 0, 0)) for i in range(3)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "WEBP", save_all=True, append_images=pictures[1:], duration=100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (cut, "was not finished"),
        (animated, "an animated WebP"),
        (lambda path: b"version https://git-lfs.github.com/spec/v1\noid sha256:5\nsize 5\n", "a Git LFS pointer"),
        (lambda path: b"<!DOCTYPE html><html><title>film.mp4</title>", "a web page"),
        (lambda path: b"PK\x03\x04" + bytes(400), "a zip archive"),
    ],
)
def test_what_is_no_video_is_told_for_what_it_is(
    tmp_path: Path, make: Callable[[Path], bytes], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = video("for_pipe.mp4", ["-c:v", "libx264", "-preset", "ultrafast", *YUV])
    (tmp_path / "film.mp4").write_bytes(make(source))
    assert run_command(["extract", str(tmp_path / "film.mp4"), "-o", str(tmp_path / "out")]) == 65
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_disk_guard_of_the_store_guards_extraction(tmp_path: Path) -> None:
    room = [1000]

    def free(folder: Path) -> int:
        return room[0] - sum(path.stat().st_size for path in folder.iterdir())

    writer = FolderWriter(tmp_path / "out", min_free=600, free=free)
    with writer:
        for number in range(4):
            writer.write(f"{number}.jpg", bytes(100))
        with pytest.raises(DiskFullError, match="would be free"):
            writer.write("4.jpg", bytes(100))
    kept = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert kept == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_extract_stops_where_the_disk_would_be_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = video("for_pipe.mp4", ["-c:v", "libx264", "-preset", "ultrafast", *YUV])
    much = (os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize >> 20) + 100_000
    code = run_command(["extract", str(source), "-o", str(tmp_path / "out"), "--set", f"capture.min_free_mb={much}"])
    assert code == 69
    assert "capture.min_free_mb" in capsys.readouterr().err


def test_results_go_where_a_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = video("for_pipe.mp4", ["-c:v", "libx264", "-preset", "ultrafast", *YUV])
    assert run_command(["extract", str(source), "-o", str(tmp_path / "no/such")]) == 65
    assert "there is no folder" in capsys.readouterr().err
    assert run_command(["extract", "film.mp4", "-o", str(tmp_path / "out")]) == 65
    assert "there is no file film.mp4" in capsys.readouterr().err
