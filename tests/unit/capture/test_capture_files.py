"""Many picture files at once: hidden until they are on the disk; pictures of a file that share FFmpeg's memory."""

from __future__ import annotations

import copy
import errno
import io
import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noctule.capture.files.files import DiskFullError, FolderWriter
from noctule.capture.files.reader import VideoFile
from noctule.capture.picture.colour import rgb, yuv_to_rgb
from noctule.capture.picture.encode import png
from noctule.capture.picture.frame import make_frame
from noctule.capture.picture.layout import FORMATS, plane_shapes


def shown(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_files_appear_together_and_whole(tmp_path: Path) -> None:
    with FolderWriter(tmp_path / "new") as writer:
        for number in range(FolderWriter.BATCH - 1):
            writer.write(f"{number:03d}", b"%d" % number)
        assert shown(tmp_path / "new") == []
        writer.write("last", b"last")
        assert len(shown(tmp_path / "new")) == FolderWriter.BATCH
        writer.write("one more", b"more")
        assert "one more" not in shown(tmp_path / "new")
    assert (tmp_path / "new" / "one more").read_bytes() == b"more"
    assert (tmp_path / "new" / "007").read_bytes() == b"7"
    assert hidden(tmp_path / "new") == []


def test_what_was_whole_is_kept_when_something_fails(tmp_path: Path) -> None:
    def interrupted() -> None:
        with FolderWriter(tmp_path) as writer:
            writer.write("a", b"a")
            raise RuntimeError("damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        interrupted()
    assert shown(tmp_path) == ["a"]


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with FolderWriter(tmp_path) as writer:
        writer.write("a", b"a")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(DiskFullError, match="has no room for b: the disk is full"):
                writer.write("b", b"b")
    assert shown(tmp_path) == ["a"]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuyv422"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("width", [64, 66, 68, 72, 80])
def test_every_column_is_encoded_with_the_same_colours(pix_fmt: str, full: bool, width: int) -> None:
    """The fast way to an encoder may differ from rgb() by rounding, at no width by a column."""
    rng = np.random.default_rng(3)
    planes = [rng.integers(16, 236, shape).astype(np.uint8) for shape in plane_shapes(FORMATS[pix_fmt], width, 34)]
    frame = make_frame("t", 0, pix_fmt, width, 34, planes, pts=Fraction(0), captured=0.0, full_range=full)
    three = yuv_to_rgb(frame)
    encoded = np.asarray(Image.open(io.BytesIO(png(frame))))
    assert encoded.shape == three.shape
    assert np.abs(three.astype(int) - encoded).max() <= 2


def test_a_picture_that_is_held_stays_as_it_was(clip: Path) -> None:
    """Frames share the decoder's memory; decoding on must not change one that somebody keeps."""
    with VideoFile(clip) as file:
        kept = [(f := picture.frame(), [p.copy() for p in f.planes]) for picture in file.pictures()]
    assert len(kept) > 20
    for frame, copies in kept:
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, copies, strict=True))
    assert len({copies[0].tobytes() for _, copies in kept}) > 10


def test_another_picture_in_a_frame_is_what_its_views_show(clip: Path) -> None:
    """A picture painted over must not come back from the decoder's memory."""
    with VideoFile(clip) as file:
        frame = next(file.pictures()).frame()
    grey = tuple(np.full(plane.shape, 128, np.uint8) for plane in frame.planes)
    for other in (replace(frame, planes=grey), replace(frame, planes=grey).with_flags(["masked"])):
        assert np.ptp(rgb(other)) == 0
        assert np.ptp(np.asarray(Image.open(io.BytesIO(png(other))))) == 0
    assert np.ptp(rgb(frame)) > 100
    assert frame.with_flags(["masked"]).lent is frame.lent is not None


def test_a_frame_travels_to_another_process(clip: Path) -> None:
    with VideoFile(clip) as file:
        frame = next(file.pictures()).frame()
    for twin in (pickle.loads(pickle.dumps(frame)), copy.deepcopy(frame)):
        assert np.array_equal(rgb(twin), rgb(frame))
        assert (twin.pts, twin.flags, twin.lent) == (frame.pts, frame.flags, None)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    import av

    path = tmp_path / "moving.mp4"
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(30):
            picture = np.repeat(np.repeat(rng.integers(0, 255, (12, 20, 3)), 8, 0), 8, 1).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path
