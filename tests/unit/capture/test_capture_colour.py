"""Colour: what was encoded as a colour is read as that colour, whatever the matrix, range and layout."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from capture_world import ffmpeg
from noctule.capture.files.reader import VideoFile
from noctule.capture.picture.colour import normal_format, rgb
from noctule.capture.picture.frame import Frame, make_frame

BARS = [
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (16, 16, 16),
]
#: Kr, Kb of each matrix (ITU-R BT.601, BT.709, BT.2020)
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def yuv(rgb: tuple[int, int, int], matrix: str, full: bool) -> tuple[int, int, int]:
    """The 8-bit Y, Cb, Cr of a colour, by the definition."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = (v / 255 for v in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    if full:
        return round(255 * y), round(min(255, 255 * cb + 128)), round(min(255, 255 * cr + 128))
    return round(219 * y + 16), round(224 * cb + 128), round(224 * cr + 128)


def bars(pix_fmt: str, matrix: str, full: bool) -> Frame:
    """Eight bars, each 16 pixels wide, 16 high."""
    columns = np.array([yuv(c, matrix, full) for c in BARS for _ in range(16)], np.uint8)
    y, u, v = (np.tile(columns[:, i], (16, 1)) for i in range(3))
    planes = {
        "yuv420p": [y, u[::2, ::2], v[::2, ::2]],
        "yuv422p": [y, u[:, ::2], v[:, ::2]],
        "yuv444p": [y, u, v],
        "nv12": [y, np.stack([u[::2, ::2], v[::2, ::2]], -1).reshape(8, -1)],
        "yuyv422": [np.stack([y[:, ::2], u[:, ::2], y[:, 1::2], v[:, ::2]], -1).reshape(16, -1)],
    }[pix_fmt]
    return make_frame(
        "s",
        0,
        pix_fmt,
        128,
        16,
        [np.ascontiguousarray(p) for p in planes],
        pts=Fraction(0),
        captured=0.0,
        matrix=matrix,
        full_range=full,
    )


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", list(WEIGHTS))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "nv12", "yuyv422"])
def test_bars_keep_their_colours(pix_fmt: str, matrix: str, full: bool) -> None:
    picture = rgb(bars(pix_fmt, matrix, full))
    assert picture.shape == (16, 128, 3)
    for place, colour in enumerate(BARS):
        seen = picture[8, place * 16 + 8].astype(int)
        assert np.abs(seen - colour).max() <= 4, (colour, seen.tolist())


@pytest.mark.parametrize(("tag", "range_tag"), [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc")])
def test_a_file_says_how_its_colours_are_to_be_read(tmp_path: Path, tag: str, range_tag: str) -> None:
    path = ffmpeg(
        tmp_path / "bars.mp4",
        "-f",
        "lavfi",
        "-i",
        "color=0xE01020:s=64x64:r=5:d=1",
        "-vf",
        f"scale=out_color_matrix={tag}:out_range={range_tag},format=yuv420p",
        "-colorspace",
        tag,
        "-color_range",
        range_tag,
        "-c:v",
        "libx264",
        "-crf",
        "1",
    )
    with VideoFile(path) as file:
        frame = next(file.pictures()).frame()
    assert frame.full_range == (range_tag == "pc")
    assert frame.matrix == ("bt709" if tag == "bt709" else "bt601")
    assert np.abs(rgb(frame)[32, 32].astype(int) - (0xE0, 0x10, 0x20)).max() <= 4


@pytest.mark.parametrize("size", ["320x240", "1280x720"])
def test_an_unmarked_picture_is_read_as_players_do(tmp_path: Path, size: str) -> None:
    path = ffmpeg(
        tmp_path / "x.mkv",
        "-f",
        "lavfi",
        "-i",
        f"color=red:s={size}:r=5:d=0.4",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "ffv1",
    )
    with VideoFile(path) as file:
        assert next(file.pictures()).frame().matrix == ("bt709" if size.endswith("720") else "bt601")


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_of_a_file_is_applied(tmp_path: Path, degrees: int) -> None:
    plain = ffmpeg(
        tmp_path / "plain.mp4",
        "-f",
        "lavfi",
        "-i",
        "color=black:s=96x64:r=5:d=0.4",
        "-vf",
        "drawbox=0:0:32:32:white:fill",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
    )
    turned = tmp_path / "turned.mp4"
    with av.open(str(plain)) as given, av.open(str(turned), "w") as out:
        track = out.add_stream_from_template(given.streams.video[0], opaque=True)
        track.set_display_rotation(degrees)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = track
                out.mux_one(packet)
    shown = ffmpeg(tmp_path / "shown.png", "-i", str(turned), "-frames:v", "1")  # ffmpeg turns it upright itself
    with VideoFile(turned) as file:
        frame = next(file.pictures()).frame()
    from PIL import Image

    want = np.asarray(Image.open(shown).convert("RGB")).astype(int)
    got = rgb(frame).astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).mean() < 4
    assert frame.upright_size == (want.shape[1], want.shape[0])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("yuvj420p", "yuv420p"),
        ("yuv422p10le", "yuv422p"),
        ("yuv444p12le", "yuv444p"),
        ("p010le", "yuv420p"),
        ("gray10le", "gray"),
        ("gbrp", "rgb24"),
        ("rgb565le", "rgb24"),
        ("uyvy422", "yuv422p"),
        ("pal8", "rgb24"),
    ],
)
def test_other_formats_become_their_nearest(given: str, kept: str) -> None:
    assert normal_format(given) == kept
