"""Frames: layouts, views, rotation, and their way through shared memory."""

from __future__ import annotations

import io
import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from noctule.capture.picture.colour import rgb
from noctule.capture.picture.encode import encode, jpeg, png
from noctule.capture.picture.frame import Frame, make_frame
from noctule.capture.picture.layout import FORMATS, check_size, copy_planes, picture_bytes, plane_shapes
from noctule.capture.process.ring import RingReader, RingWriter, slots_for
from noctule.core.errors import DeviceError, InputError

RED, GREEN, BLUE = (200, 30, 10), (20, 180, 40), (5, 60, 220)


def packed(pix_fmt: str, width: int = 6, height: int = 4, **about: object) -> Frame:
    """A picture whose upper left quarter is red, upper right green, and lower half blue."""
    fmt = FORMATS[pix_fmt]
    assert fmt.rgb is not None
    size = fmt.planes[0][2]
    pixels = np.full((height, width, size), 99, np.uint8)
    for rows, columns, colour in (
        (slice(0, height // 2), slice(0, width // 2), RED),
        (slice(0, height // 2), slice(width // 2, None), GREEN),
        (slice(height // 2, None), slice(None), BLUE),
    ):
        for place, value in zip(fmt.rgb, colour, strict=True):
            pixels[rows, columns, place] = value
    about.setdefault("pts", Fraction(0))
    about.setdefault("captured", 0.0)
    return make_frame("s", 0, pix_fmt, width, height, [pixels.reshape(height, width * size)], matrix="rgb", **about)


@pytest.mark.parametrize("pix_fmt", [name for name, fmt in FORMATS.items() if fmt.rgb])
def test_every_packed_layout_gives_the_same_rgb_without_a_copy(pix_fmt: str) -> None:
    frame = packed(pix_fmt)
    picture = rgb(frame)
    assert picture.shape == (4, 6, 3)
    assert picture[0, 0].tolist() == list(RED)
    assert picture[0, 5].tolist() == list(GREEN)
    assert picture[3, 0].tolist() == list(BLUE)
    assert np.shares_memory(picture, frame.planes[0])


@pytest.mark.parametrize(
    ("rotation", "size", "corner"), [(90, (4, 6), BLUE), (180, (6, 4), BLUE), (270, (4, 6), GREEN)]
)
def test_views_are_upright(rotation: int, size: tuple[int, int], corner: tuple[int, int, int]) -> None:
    frame = packed("bgr0", rotation=rotation)
    assert frame.upright_size == size
    picture = rgb(frame)
    assert picture.shape == (size[1], size[0], 3)
    # clockwise by 90: what was lower left comes to the upper left
    assert picture[0, 0].tolist() == list(corner)
    assert np.asarray(Image.open(io.BytesIO(png(frame)))).tolist() == picture.tolist()


def test_png_is_exact_and_jpeg_close() -> None:
    frame = packed("bgr0", 64, 48)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(frame)))), rgb(frame))
    shown = np.asarray(Image.open(io.BytesIO(jpeg(frame, 95)))).astype(int)
    assert np.abs(shown[4:20, 4:28] - RED).max() < 12
    assert Image.open(io.BytesIO(jpeg(frame, 80, size=(16, 16)))).size == (16, 12)


def test_wrong_names_and_qualities_are_refused() -> None:
    with pytest.raises(InputError, match=r"written as \.jpg or \.png, not \.gif"):
        encode(packed("bgr0"), ".gif")
    with pytest.raises(InputError, match="quality is 1 to 100, not 0"):
        encode(packed("bgr0"), ".jpg", 0)
    assert encode(packed("bgr0"), ".PNG").startswith(b"\x89PNG")


def test_odd_sizes_round_chroma_up() -> None:
    assert plane_shapes(FORMATS["yuv420p"], 5, 3) == [(3, 5), (2, 3), (2, 3)]
    assert plane_shapes(FORMATS["nv12"], 5, 3) == [(3, 5), (2, 6)]
    assert plane_shapes(FORMATS["yuyv422"], 5, 3) == [(3, 12)]
    assert picture_bytes(FORMATS["bgr0"], 5, 3) == 60
    with pytest.raises(ValueError, match="do not make a 5x3 yuv420p"):
        make_frame("s", 0, "yuv420p", 5, 3, [np.zeros((3, 5), np.uint8)], pts=Fraction(0), captured=0.0)


def test_sizes_are_bounded() -> None:
    check_size(7680, 4320, "x")
    with pytest.raises(InputError, match="beyond the limit of 36 megapixels"):
        check_size(12000, 12000, "x")
    with pytest.raises(InputError, match="has no picture size"):
        check_size(0, 10, "x")


def test_brightness() -> None:
    frame = packed("bgr0", 640, 360)
    assert frame.luma()[0, 0] == (RED[0] + 2 * RED[1] + RED[2]) // 4
    small = frame.small_luma()
    assert small.shape == (36, 64)
    assert small[0, 0] == RED[1]
    assert small[35, 0] == BLUE[1]
    luma = np.arange(64 * 36, dtype=np.uint8).reshape(36, 64)
    grey = make_frame("s", 0, "gray", 64, 36, [luma], pts=Fraction(0), captured=0.0)
    assert grey.small_luma().tolist() == luma.astype(float).tolist()
    assert rgb(grey)[3, 5].tolist() == [luma[3, 5]] * 3
    assert np.asarray(Image.open(io.BytesIO(png(grey)))).tolist() == luma.tolist()
    yuyv = np.zeros((2, 8), np.uint8)
    yuyv[:, ::2] = [[1, 2, 3, 4], [5, 6, 7, 8]]
    frame = make_frame("s", 0, "yuyv422", 4, 2, [yuyv], pts=Fraction(0), captured=0.0)
    assert frame.luma().tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_with_flags() -> None:
    assert packed("bgr0").with_flags(["corrupt"]).flags == {"corrupt"}


# --- the ring


def ring(payload: int) -> tuple[RingWriter, RingReader]:
    writer = RingWriter(payload)
    return writer, RingReader(writer.fd, writer.slots, writer.payload)


def put(writer: RingWriter, frame: Frame) -> int:
    return writer.write(
        frame.pix_fmt,
        frame.width,
        frame.height,
        lambda planes, offset: copy_planes(frame.planes, planes),
        frame.pts,
        frame.captured,
        matrix=frame.matrix,
        full_range=frame.full_range,
        rotation=frame.rotation,
        flags=frame.flags,
    )


def test_a_frame_comes_out_of_the_ring_as_it_went_in() -> None:
    sent = packed(
        "bgr0", 6, 4, pts=Fraction(1001, 30000), captured=12.5, rotation=90, flags=frozenset({"key", "masked"})
    )
    writer, reader = ring(4096)
    got = reader.read(put(writer, sent), "cam", 7)
    assert got is not None
    assert (got.source, got.seq, got.pts, got.captured) == ("cam", 7, Fraction(1001, 30000), 12.5)
    assert (got.pix_fmt, got.rotation, got.flags, got.matrix) == ("bgr0", 90, {"key", "masked"}, "rgb")
    assert np.array_equal(got.planes[0], sent.planes[0])
    assert got.planes[0].flags.writeable  # a copy of its own, not the shared memory
    reader.close()
    writer.close()


def test_an_overtaken_frame_is_counted_and_never_given_out() -> None:
    writer, reader = ring(96)
    numbers = [put(writer, packed("bgr0", 6, 4)) for _ in range(writer.slots + 1)]
    assert reader.read(numbers[0], "s", 0) is None
    assert reader.torn == 1
    assert reader.read(numbers[1], "s", 0) is not None
    # a writer that died in the middle of a frame leaves an odd sequence word
    slot = numbers[1] % writer.slots
    writer._sequence(slot)[0] = 2 * numbers[1] + 1
    assert reader.read(numbers[1], "s", 0) is None
    assert reader.torn == 2


def test_a_frame_overwritten_while_it_is_copied_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = ring(96)
    number = put(writer, packed("bgr0", 6, 4))
    pixels = reader._pixels

    def meanwhile(slot: int, size: int) -> object:
        for _ in range(writer.slots):
            put(writer, packed("bgr0", 6, 4))
        return pixels(slot, size)

    monkeypatch.setattr(reader, "_pixels", meanwhile)
    assert reader.read(number, "s", 0) is None
    assert reader.torn == 1


def test_memory_that_could_shrink_is_refused() -> None:
    fd = os.memfd_create("x")
    os.ftruncate(fd, 8 * 4096)
    with pytest.raises(DeviceError, match="not a sealed ring"):
        RingReader(fd, 8, 96)
    os.close(fd)
    writer = RingWriter(96)
    with pytest.raises(DeviceError, match="not a sealed ring"):
        RingReader(writer.fd, writer.slots + 1, 96)
    with pytest.raises(ValueError, match="does not fit"):
        put(writer, packed("bgr0", 64, 48))


def test_large_pictures_get_fewer_slots() -> None:
    assert slots_for(1280 * 720 * 4) == 8
    assert slots_for(3840 * 2160 * 4) == 4


def test_a_device_that_fails_to_fill_its_slot_leaves_no_picture() -> None:
    writer, reader = ring(96)
    first = put(writer, packed("bgr0", 6, 4))

    def fail(planes: object, offset: int) -> None:
        raise DeviceError("unplugged")

    with pytest.raises(DeviceError, match="unplugged"):
        writer.write("bgr0", 6, 4, fail, Fraction(0), 0.0, matrix="rgb", full_range=True)
    assert reader.read(first + 1, "s", 0) is None
    assert put(writer, packed("bgr0", 6, 4)) == first + 1
    assert reader.read(first + 1, "s", 0) is not None
    assert np.array_equal(writer.planes(first, "bgr0", 6, 4)[0], packed("bgr0", 6, 4).planes[0])
