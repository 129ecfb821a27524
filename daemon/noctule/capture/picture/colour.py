"""Between FFmpeg's frames and ours: layout, colour matrix, range and rotation. The one file that knows swscale.

Conversion is FFmpeg's swscale through PyAV, which the capture extra needs anyway; opencv's is up to twice as fast but
weighs 60 MB on the board. Most of the cost is avoided instead: packed RGB (every display) needs none at all, and YUV
is converted only when somebody asks for RGB.
"""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import av
import av.video.reformatter
import numpy as np

from noctule.capture.picture.frame import Frame, Origin, Picture
from noctule.capture.picture.layout import FORMATS, FULL_RANGE_NAMES, check_size, plane_shapes

#: AVColorSpace -> our name (libavutil/pixfmt.h)
_MATRIX_OF_AV = {0: "rgb", 1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_AV_OF_MATRIX = {"bt601": 6, "bt709": 1, "bt2020": 9}
_SWS_OF_MATRIX = {"bt601": "ITU601", "bt709": "ITU709", "bt2020": "BT2020"}
_AV_FULL = 2
#: an unmarked picture at least this high is taken for bt709, as video players do.
_HD_HEIGHT = 720

_local = threading.local()


def _reformatter(key: object) -> Any:
    """A swscale context of this thread for one conversion; re-made when the conversion changes."""
    made: dict[object, Any] = _local.__dict__.setdefault("made", {})
    if key not in made:
        if len(made) > 8:
            made.clear()
        made[key] = av.video.reformatter.VideoReformatter()
    return made[key]


def matrix_of(av_frame: Any, camera: bool) -> str:
    """The matrix a decoded frame states, else the usual one: bt601 for cameras and small pictures, bt709 for HD."""
    stated = _MATRIX_OF_AV.get(int(av_frame.colorspace))
    if stated is not None:
        return stated
    return "bt709" if av_frame.height >= _HD_HEIGHT and not camera else "bt601"


def is_full_range(av_frame: Any) -> bool:
    return int(av_frame.color_range) == _AV_FULL or av_frame.format.name in FULL_RANGE_NAMES


def normal_format(name: str) -> str:
    """The format in which a frame of FFmpeg's format `name` is kept: its own where we can, else the nearest."""
    plain = FULL_RANGE_NAMES.get(name, name)
    if plain in FORMATS:
        return plain
    if name.startswith("gray"):
        return "gray"
    if name.startswith(("yuv4", "yuvj4", "yuva4", "nv", "p0", "p2", "p4", "uyvy", "yvyu", "y2")):
        return "yuv444p" if "444" in name else "yuv422p" if "422" in name or name[:2] in ("uy", "yv") else "yuv420p"
    return "rgb24"


def to_normal(av_frame: Any, camera: bool = False) -> tuple[str, str, bool, Any]:
    """(pix_fmt, matrix, full_range, frame) with the frame in a format of ours; not copied where it already is."""
    name, matrix, full = av_frame.format.name, matrix_of(av_frame, camera), is_full_range(av_frame)
    wanted = normal_format(name)
    if FULL_RANGE_NAMES.get(name, name) != wanted:
        to_rgb = FORMATS[wanted].rgb is not None
        range_name = "JPEG" if full else "MPEG"
        options: dict[str, Any] = {}
        if matrix != "rgb":
            options = {"src_colorspace": _SWS_OF_MATRIX[matrix], "src_color_range": range_name}
            if not to_rgb:
                options |= {"dst_colorspace": _SWS_OF_MATRIX[matrix], "dst_color_range": range_name}
        key = (name, wanted, av_frame.width, av_frame.height)
        av_frame = _reformatter(key).reformat(av_frame, format=wanted, threads=1, **options)
    if FORMATS[wanted].rgb is not None:
        matrix, full = "rgb", True
    return wanted, matrix, full, av_frame


def planes_of(av_frame: Any, pix_fmt: str) -> list[Picture]:
    """uint8 [rows, bytes per row] views of a decoded frame's planes, unpadded; they live as long as it does."""
    shapes = plane_shapes(FORMATS[pix_fmt], av_frame.width, av_frame.height)
    planes = []
    for plane, (rows, row) in zip(av_frame.planes, shapes, strict=True):
        stride = plane.line_size
        flat: Picture = np.frombuffer(memoryview(plane), np.uint8)
        planes.append(np.lib.stride_tricks.as_strided(flat, (rows, row), (stride, 1), writeable=False))
    return planes


def rotation_of(av_frame: Any) -> int:
    """Degrees clockwise that make the frame upright; PyAV reports the display matrix counter-clockwise."""
    return round(-float(av_frame.rotation) / 90) * 90 % 360


def frame_of(av_frame: Any, source: str, seq: int, pts: Fraction, captured: float, camera: bool = False) -> Frame:
    """A Frame over a decoded picture's pixels, not copied: the decoder leaves a picture alone for as long as
    somebody holds it. InputError when it is too large."""
    check_size(av_frame.width, av_frame.height, source)
    rotation, corrupt = rotation_of(av_frame), bool(av_frame.is_corrupt)
    flags = {
        name
        for name, on in (("corrupt", corrupt), ("key", av_frame.key_frame), ("interlaced", av_frame.interlaced_frame))
        if on
    }
    pix_fmt, matrix, full, normal = to_normal(av_frame, camera)
    planes = tuple(planes_of(normal, pix_fmt))
    return Frame(
        source,
        seq,
        normal.width,
        normal.height,
        pix_fmt,
        planes,
        pts,
        captured,
        matrix,
        full,
        rotation,
        frozenset(flags),
        Origin(normal, planes),
    )


def to_av(frame: Frame) -> Any:
    """An av.VideoFrame with a copy of the frame's pixels as stored (not rotated), matrix and range set."""
    made = av.VideoFrame(frame.width, frame.height, frame.pix_fmt)
    for plane, pixels in zip(made.planes, frame.planes, strict=True):
        rows, row = pixels.shape
        flat: Picture = np.frombuffer(memoryview(plane), np.uint8)
        target = np.lib.stride_tricks.as_strided(flat, (rows, row), (plane.line_size, 1))
        np.copyto(target, pixels)
    if frame.matrix in _AV_OF_MATRIX:
        made.colorspace = _AV_OF_MATRIX[frame.matrix]
        made.color_range = _AV_FULL if frame.full_range else 1
    return made


def rgb(frame: Frame) -> Picture:
    """uint8 [height, width, 3], upright. For packed RGB layouts a view without a copy (not contiguous); YUV is
    converted with its own matrix and range."""
    order = frame.format.rgb
    if order is not None:
        pixels = frame.planes[0].reshape(frame.height, frame.width, -1)
        step = order[1] - order[0]
        picture = pixels[..., order[0] :: step][..., :3]
    elif frame.pix_fmt == "gray":
        picture = np.repeat(frame.planes[0][:, :, None], 3, axis=2)
    else:
        picture = yuv_to_rgb(frame)
    return frame.upright(picture)


def yuv_to_rgb(frame: Frame) -> Picture:
    """uint8 [height, width, 3] of a YUV frame, not rotated."""
    rows = _packed(frame, "rgb24")
    return np.ascontiguousarray(rows[:, : frame.width * 3]).reshape(frame.height, frame.width, 3)


def yuv_to_rgb0(frame: Frame) -> Picture:
    """uint8 [height, bytes per row] of a YUV frame, not rotated: four bytes a pixel, the last of no meaning, and rows
    with FFmpeg's padding. Image encoders take it as it lies, and swscale writes it faster than three bytes."""
    return _packed(frame, "rgb0")


def _packed(frame: Frame, wanted: str) -> Picture:
    key = (frame.pix_fmt, wanted, frame.width, frame.height, frame.matrix, frame.full_range)
    out = _reformatter(key).reformat(
        to_av(frame) if frame.lent is None else frame.lent,
        format=wanted,
        threads=1,
        src_colorspace=_SWS_OF_MATRIX[frame.matrix],
        src_color_range="JPEG" if frame.full_range else "MPEG",
        dst_color_range="JPEG",
    )
    plane = out.planes[0]
    flat = np.frombuffer(memoryview(plane), np.uint8)
    return flat[: frame.height * plane.line_size].reshape(frame.height, plane.line_size)


def yuv420_of(made: Any, frame: Frame, width: int, height: int) -> Any:
    """A decoded-frame twin in limited-range yuv420p, cropped or scaled to width x height, for video encoders."""
    if frame.pix_fmt == "yuv420p" and not frame.full_range and (width, height) == (frame.width, frame.height):
        return made
    options: dict[str, Any] = {"dst_color_range": "MPEG", "dst_colorspace": _SWS_OF_MATRIX["bt709"]}
    if frame.matrix in _SWS_OF_MATRIX:
        options |= {
            "src_colorspace": _SWS_OF_MATRIX[frame.matrix],
            "src_color_range": "JPEG" if frame.full_range else "MPEG",
        }
    key = (frame.pix_fmt, "yuv420p", frame.width, frame.height, width, height)
    return _reformatter(key).reformat(made, width=width, height=height, format="yuv420p", threads=1, **options)
