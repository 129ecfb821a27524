"""Files that are not what they should be: each has one sentence, in bounded memory, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from capture_world import ffmpeg, number_in, plain_video, video
from noctule.capture.files.extract import Plan, extract_file
from noctule.capture.picture.colour import rgb
from noctule.capture.picture.encode import jpeg
from noctule.cli import run_command
from noctule.core.errors import InputError, NoctuleError

SOURCE = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=10:d=1"]


def text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("Dear diary, today I was taken for a film.\n" * 50)
    return path


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def noise(folder: Path) -> Path:
    path = folder / "noise.mkv"
    path.write_bytes(random.Random(4).randbytes(100_000))
    return path


def no_moov(folder: Path) -> Path:
    """Cut off before the index that stands at the end of a plain MP4."""
    path = folder / "cut.mp4"
    whole = plain_video().read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def audio(folder: Path) -> Path:
    return ffmpeg(folder / "song.m4a", "-f", "lavfi", "-i", "sine=d=1")


def cover(folder: Path) -> Path:
    picture = ffmpeg(folder / "cover.png", *SOURCE, "-frames:v", "1")
    return ffmpeg(
        folder / "song.mp3",
        "-f",
        "lavfi",
        "-i",
        "sine=d=1",
        "-i",
        str(picture),
        "-map",
        "0",
        "-map",
        "1",
        "-disposition:v",
        "attached_pic",
    )


def bomb(folder: Path) -> Path:
    """144 megapixels of one colour, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(12000 * (1 + 1500)), 9)
    path = folder / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def folder_itself(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


SENTENCES: list[tuple[Callable[[Path], Path], str]] = [
    (empty, "{} is empty"),
    (text, "{} is not a video, or is damaged beyond reading"),
    (noise, "{} is not a video, or is damaged beyond reading"),
    (no_moov, "{} was not finished: the recording ended before its index was written"),
    (audio, "{} has no video, it holds audio"),
    (cover, "{} has no video (only a cover picture)"),
    (bomb, "{} has pictures that are damaged or beyond the limit of 36 megapixels"),
    (folder_itself, "{} is a folder, not a video"),
    (missing, "{} does not exist"),
]


@pytest.mark.parametrize(("make", "sentence"), SENTENCES, ids=[make.__name__ for make, _ in SENTENCES])
def test_one_sentence_for_each(
    make: Callable[[Path], Path], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError) as refused:
        list(extract_file(path, Plan("nth")))
    assert str(refused.value) == sentence.format(path)
    assert run_command(["extract", str(path), "--nth", "1", "-o", str(tmp_path / "out")]) == 65
    assert capsys.readouterr().err.splitlines()[0] == f"noctule: {sentence.format(path)}"
    assert not (tmp_path / "out").exists()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text(tmp_path)

    def refuse(self: Path, *arguments: object, **others: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom nothing is forbidden
    with pytest.raises(InputError, match="may not be read by this user"):
        list(extract_file(path, Plan("nth")))


def test_truncated_files_give_what_is_there(tmp_path: Path) -> None:
    whole = video("whole.mkv", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "24", "-pix_fmt", "yuv420p"])
    path = tmp_path / "half.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    numbers = [number_in(s.frame.luma()) for s in extract_file(path, Plan("nth")) if s.frame]
    assert 30 <= len(numbers) <= 90
    assert numbers == list(range(len(numbers)))


def test_flipped_bits_are_flagged_and_skipped_unless_asked_for(tmp_path: Path) -> None:
    whole = video("flip.mkv", ["-c:v", "libx264", "-preset", "ultrafast", "-g", "24", "-pix_fmt", "yuv420p"])
    data = bytearray(whole.read_bytes())
    rng = random.Random(7)
    for _ in range(60):
        data[rng.randrange(len(data) // 4, len(data) * 3 // 4)] ^= 1 << rng.randrange(8)
    path = tmp_path / "flipped.mkv"
    path.write_bytes(bytes(data))
    clean = [s.frame for s in extract_file(path, Plan("nth")) if s.frame]
    everything = [s.frame for s in extract_file(path, Plan("nth", corrupt=True)) if s.frame]
    damaged = [f for f in everything if "corrupt" in f.flags]
    assert damaged
    assert len(clean) + len(damaged) == len(everything)
    assert all("corrupt" not in f.flags for f in clean)
    at = Plan("at", times=(damaged[0].pts,))
    (shot,) = extract_file(path, at)
    assert shot.frame is None
    assert shot.problem == "the picture at this time is damaged"


def test_any_damage_is_a_sentence_or_pictures(tmp_path: Path) -> None:
    """No input makes it crash or raise anything but its own family."""
    rng = random.Random(11)
    whole = plain_video().read_bytes()
    for round_ in range(12):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 20, 400])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / f"{round_}.mp4"
        path.write_bytes(bytes(data[: rng.choice([len(data), len(data) * 3 // 4])]))
        try:
            for shot in extract_file(path, Plan("every", step=Fraction(1), corrupt=True)):
                assert shot.frame is None or rgb(shot.frame).shape[2] == 3
        except NoctuleError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("ten.mkv", ["-pix_fmt", "yuv422p10le", "-c:v", "ffv1"], (320, 180)),
        (
            "interlaced.mkv",
            ["-vf", "interlace", "-flags", "+ildct+ilme", "-c:v", "mpeg2video", "-b:v", "2M"],
            (320, 180),
        ),
        ("odd.mkv", ["-vf", "scale=321:179", "-pix_fmt", "yuv444p", "-c:v", "ffv1"], (321, 179)),
        ("odd420.mkv", ["-vf", "scale=321:179", "-pix_fmt", "yuv420p", "-c:v", "ffv1"], (321, 179)),
        ("rgb.mkv", ["-pix_fmt", "bgr0", "-c:v", "ffv1"], (320, 180)),
        ("grey.mkv", ["-pix_fmt", "gray", "-c:v", "ffv1"], (320, 180)),
        ("palette.gif", [], (320, 180)),
    ],
)
def test_unusual_pictures_are_right(name: str, arguments: list[str], size: tuple[int, int], tmp_path: Path) -> None:
    """A red square on blue stays a red square on blue."""
    import numpy as np

    graph = "color=0x2030C0:s=320x180:r=10:d=0.5,drawbox=80:40:120:80:0xD02020:fill"
    path = ffmpeg(tmp_path / name, "-f", "lavfi", "-i", graph, *arguments)
    shots = [s for s in extract_file(path, Plan("nth")) if s.frame]
    assert shots
    frame = shots[-1].frame
    assert frame is not None
    assert frame.upright_size == size
    picture = rgb(frame).astype(int)
    if name == "grey.mkv":
        assert picture[90, 140].tolist() != picture[10, 10].tolist()
    else:
        near = 40 if name == "palette.gif" else 14  # a palette of fixed colours
        assert np.abs(picture[80, 140] - (0xD0, 0x20, 0x20)).max() <= near, picture[80, 140]
        assert np.abs(picture[10, 10] - (0x20, 0x30, 0xC0)).max() <= near, picture[10, 10]
    assert jpeg(frame).startswith(b"\xff\xd8")
    if name == "interlaced.mkv":
        assert "interlaced" in frame.flags


def test_a_single_picture_of_no_duration(tmp_path: Path) -> None:
    path = ffmpeg(tmp_path / "one.mp4", *SOURCE, "-frames:v", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    assert len([s for s in extract_file(path, Plan("every", step=Fraction(1))) if s.frame]) == 1
    assert len([s for s in extract_file(path, Plan("at", times=(Fraction(0),))) if s.frame]) == 1


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """The whole command, as a user runs it, stays below 300 MB even on a file that asks for more."""
    path = bomb(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom noctule.cli import run_command\n"
        "status = run_command(['extract', sys.argv[1], '--nth', '1', '-o', sys.argv[2]])\n"
        # not ru_maxrss: it counts the process that started this one, too
        "print(status, *[line.split()[1] for line in Path('/proc/self/status').open() if 'VmHWM' in line])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "o")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "daemon")},
    )
    status, kilobytes = (int(word) for word in done.stdout.split())
    assert status == 65
    assert kilobytes < 300_000
    assert resource.getrlimit(resource.RLIMIT_DATA) != (0, 0)
