"""Real pictures out of files: each carries its number, so "the picture on screen at t" is checked by its content."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from capture_world import ffmpeg, number_in, numbered, plain_video, video
from noctule.capture.files.extract import Plan, Shot, extract_file
from noctule.capture.files.reader import VideoFile
from noctule.capture.picture.colour import rgb
from noctule.cli import run_command
from noctule.core.errors import InputError

YUV = ["-pix_fmt", "yuv420p"]
ENCODERS = {
    "h264.mp4": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "48", *YUV],
    "long.mkv": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "999", *YUV],
    "hevc.mp4": [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=none:keyint=40:bframes=3",
        *YUV,
    ],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", *YUV],
    "av1.mp4": ["-c:v", "libsvtav1", "-preset", "12", "-g", "60", *YUV],
    "mjpeg.avi": ["-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"],
    "open.ts": [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-bf",
        "2",
        "-g",
        "30",
        "-x264-params",
        "open-gop=1",
        *YUV,
    ],
}


def number(shot: Shot) -> int | None:
    return None if shot.frame is None else number_in(shot.frame.luma())


@pytest.mark.parametrize("name", list(ENCODERS))
def test_times_are_exact(name: str) -> None:
    path = video(name, ENCODERS[name])
    rng = random.Random(name)
    times = sorted(
        {Fraction(rng.randrange(0, 4990), 1000) for _ in range(25)} | {Fraction(0), Fraction(2), Fraction(4)}
    )
    shots = list(extract_file(path, Plan("at", times=tuple(times))))
    # the muxers round 1/24 s to their own ticks, so a picture's exact time is asked of the container itself
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        zero = stream.start_time or 0
        pts = sorted((p.pts - zero) * stream.time_base for p in file.demux(stream) if p.size and p.pts is not None)
    assert len(pts) == 120
    for wanted, shot in zip(times, shots, strict=True):
        assert shot.frame is not None
        assert number(shot) == max(i for i, at in enumerate(pts) if at <= wanted), float(wanted)
        assert shot.frame.pts <= wanted
    # in any order, each on its own
    for wanted in rng.sample(times, 6):
        (alone,) = extract_file(path, Plan("at", times=(wanted,)))
        assert number(alone) == number(shots[times.index(wanted)])


def test_variable_rate_is_exact() -> None:
    """Every third picture is missing and the rest stays at its time."""
    path = video(
        "vfr.mp4",
        ["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-vsync", "vfr", *YUV],
        filters="select='mod(n,3)'",
    )
    kept = [i for i in range(120) if i % 3]
    # the file's time line begins with its first picture, number 1
    times = [Fraction(t, 10) for t in range(48)]
    for shot in extract_file(path, Plan("at", times=tuple(times))):
        assert shot.time is not None
        assert number(shot) == max(i for i in kept if Fraction(i - 1, 24) <= shot.time + Fraction(1, 20000))


def test_every_nth_and_keyframes() -> None:
    path = video("h264.mp4", ENCODERS["h264.mp4"])
    every = list(extract_file(path, Plan("every", step=Fraction(1, 2))))
    assert [number(s) for s in every] == [12 * i for i in range(10)]
    assert [number(s) for s in extract_file(path, Plan("nth", n=50))] == [0, 50, 100]
    assert [number(s) for s in extract_file(path, Plan("keyframes"))] == [0, 48, 96]
    assert [number(s) for s in extract_file(path, Plan("every", step=Fraction(1), limit=2))] == [0, 24]
    seen: list[float] = []
    assert len(list(extract_file(path, Plan("nth", n=60), seen.append))) == 2
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_keyframes_alone_are_decoded_for_vp9() -> None:
    path = video("vp9.webm", ENCODERS["vp9.webm"])
    numbers = [number(s) for s in extract_file(path, Plan("keyframes"))]
    assert numbers[0] == 0
    assert 2 <= len(numbers) <= 6


def test_scenes_and_motion(tmp_path: Path) -> None:
    cuts = ffmpeg(
        tmp_path / "cuts.mp4",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=20:d=2",
        "-f",
        "lavfi",
        "-i",
        "color=0x304050:s=320x180:r=20:d=2",
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=320x180:r=20",
        "-filter_complex",
        "[2]trim=duration=2[m];[0][1][m]concat=n=3[v]",
        "-map",
        "[v]",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        *YUV,
    )
    shots = list(extract_file(cuts, Plan("scenes")))
    assert [(s.reason, float(s.frame.pts)) for s in shots if s.frame] == [
        ("start", 0.0),
        ("scene", 2.0),
        ("scene", 4.0),
    ]
    still = ffmpeg(
        tmp_path / "move.mp4",
        "-f",
        "lavfi",
        "-i",
        "color=0x606060:s=320x180:r=20:d=5",
        "-f",
        "lavfi",
        "-i",
        "color=white:s=60x60:r=20:d=5",
        "-filter_complex",
        "[0][1]overlay=x='if(gte(t,2),(t-2)*80,-100)':y=60",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        *YUV,
    )
    (moved,) = extract_file(still, Plan("motion"))
    assert moved.frame is not None
    assert 2.0 <= float(moved.frame.pts) <= 2.6


def test_before_the_first_and_after_the_last(tmp_path: Path) -> None:
    late = ffmpeg(
        tmp_path / "late.mkv",
        "-f",
        "lavfi",
        "-i",
        "sine=d=3",
        "-itsoffset",
        "1",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=160x120:r=10:d=2",
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "libx264",
        *YUV,
    )
    shots = list(extract_file(late, Plan("at", times=(Fraction(1, 2), Fraction(3, 2)))))
    assert shots[0].frame is None
    assert shots[0].problem == "no picture is on screen yet at this time"
    assert shots[1].frame is not None
    with pytest.raises(InputError, match=r"ends at \d\.\d+ s, before 60\.000 s"):
        list(extract_file(late, Plan("at", times=(Fraction(60),))))


def test_pictures_as_arrays() -> None:
    (shot,) = extract_file(plain_video(), Plan("at", times=(Fraction(1),)))
    assert shot.frame is not None
    picture = rgb(shot.frame)
    assert picture.shape == (180, 320, 3)
    assert picture.dtype == np.uint8
    want = numbered(24).astype(int)
    assert np.abs(picture[..., 1].astype(int) - want).mean() < 4


def test_a_plan_nobody_knows() -> None:
    with pytest.raises(InputError, match='named "backwards"'):
        list(extract_file(plain_video(), Plan("backwards")))


# --- the command


def extract(*words: str) -> int:
    return run_command(["extract", *words])


def test_the_command_writes_pictures_and_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(video("h264.mp4", ENCODERS["h264.mp4"]))
    assert extract(path, "--at", "0:01.5,4", "-o", str(tmp_path / "a"), "--format", "png") == 0
    assert "2 pictures and index.json" in capsys.readouterr().out
    index = json.loads((tmp_path / "a" / "index.json").read_text())
    assert [(p["asked"], p["pts"], p["reason"], p["flags"]) for p in index["pictures"]] == [
        (1.5, 1.5, "at", []),
        (4.0, 4.0, "at", ["key"]),
    ]
    shown = np.asarray(Image.open(tmp_path / "a" / index["pictures"][1]["file"]).convert("L"))
    assert number_in(shown) == 96
    assert extract(path, "--fps", "0.5", "-o", str(tmp_path / "b"), "--quality", "90") == 0
    assert len(list((tmp_path / "b").glob("*.jpg"))) == 3
    assert extract(path, "--keyframes", "-o", str(tmp_path / "c")) == 0
    assert extract(path, "--nth", "60", "--limit", "1", "-o", str(tmp_path / "d")) == 0
    assert len(list((tmp_path / "d").glob("*.jpg"))) == 1


def test_what_came_before_the_end_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(str(plain_video()), "--at", "1,99", "-o", str(tmp_path)) == 65
    assert "ends at 5.000 s, before 99.000 s" in capsys.readouterr().err
    index = json.loads((tmp_path / "index.json").read_text())
    assert len(index["pictures"]) == 1
    assert "ends at" in index["ended"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--at", "x"], '"x" is not a time'),
        (["--every", "0"], "--every is a time above 0"),
        (["--fps", "0"], "--fps is a number above 0"),
        (["--fps", "1/0"], "--fps is a number above 0"),
        (["--nth", "0"], "--nth is a whole number from 1 on"),
        (["--quality", "101"], "a JPEG quality is 1 to 100"),
    ],
)
def test_wrong_arguments(words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(str(plain_video()), *words, "-o", str(tmp_path)) == 65
    assert says in capsys.readouterr().err


def test_a_file_opened_twice_gives_the_same() -> None:
    with VideoFile(plain_video()) as file:
        first = [p.pts for p in file.pictures()]
        assert [p.pts for p in file.pictures()] == first
        assert file.about["codec"] == "h264"
        assert len(first) == 120
