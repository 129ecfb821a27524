"""Opening things with FFmpeg (through PyAV) so that everything that can go wrong is one sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error

from noctule.capture.picture.layout import MAX_PIXELS
from noctule.core.errors import DeviceError, InputError, NoctuleError, TooLargeError
from noctule.core.file_kind import kind_of

#: stream disposition of a cover picture (libavformat/avformat.h)
_ATTACHED_PIC = 0x0400

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own messages go to stderr, in its own words

_OS_REASONS = {
    errno.EBUSY: ("is in use by another program", "close the other program"),
    errno.ENOENT: ("does not exist", "`noctule sources` lists what there is"),
    errno.ENODEV: ("is gone", "is it unplugged?"),
    errno.ENXIO: ("is gone", "is it unplugged?"),
    errno.EACCES: ("may not be read by this user", "the service's user must be in the group that owns it"),
    errno.EPERM: ("may not be used by this user", "it needs a privilege that this user lacks"),
    errno.EISDIR: ("is a folder, not a video", ""),
    errno.ECONNREFUSED: ("refused the connection", "is the stream being served?"),
    errno.EHOSTUNREACH: ("cannot be reached", "is it on the network?"),
    errno.ENETUNREACH: ("cannot be reached", "is the network up?"),
    errno.ETIMEDOUT: ("did not answer in time", "is it on the network?"),
    errno.EIO: ("failed to deliver data", ""),
    errno.ENOTTY: ("is not a camera", ""),
}


def explain(error: Exception, what: str, device: bool, url: str = "") -> NoctuleError:
    """A sentence for an FFmpeg error about `what`. device: a live thing (DeviceError) or a file (InputError).
    url: the file's path, when opening it is what failed."""
    family = DeviceError if device else InputError
    code = getattr(error, "errno", None)
    if isinstance(error, MemoryError):
        return TooLargeError(f"{what} needs more memory than it may have", "its pictures are too large")
    if isinstance(error, av.error.InvalidDataError):
        if device:
            return family(f"{what} sends no video that can be read")
        return unread(Path(url), what) if url else family(f"{what} is not a video, or is damaged beyond reading")
    if isinstance(error, av.error.ExitError):
        return family(f"{what} did not answer in time", "is it on the network?")
    if isinstance(error, av.error.HTTPError):
        return family(f"{what} answered: {error.strerror}")
    if isinstance(error, (av.error.PatchWelcomeError, av.error.DecoderNotFoundError, NotImplementedError)):
        return family(f"{what} is in a form that FFmpeg does not read")
    if isinstance(error, av.error.EOFError):
        return family(f"{what} ended at once" if device else f"{what} has no pictures")
    if code in _OS_REASONS:
        reason, hint = _OS_REASONS[code]
        return family(f"{what} {reason}", hint if device else "")
    if code == errno.EINVAL:
        return family(f"{what} does not work with these settings", "check width, height, fps and format")
    return family(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}")


def unread(path: Path, what: str) -> InputError:
    """Why FFmpeg makes nothing of a file: what it is in truth, or what of it is missing."""
    if not path.is_file():
        return InputError(
            f"{what} is not a video, or of a kind that cannot be read from a pipe",
            "an MP4 has its index at the end: give it as a file, or record Matroska or MPEG-TS",
        )
    kind = kind_of(path)
    if kind is not None and kind.name == "mp4" and not _has_index(path):
        return InputError(
            f"{what} was not finished: the recording ended before its index was written",
            "record Matroska (.mkv) or MPEG-TS (.ts), which can be read up to where they end",
        )
    if kind is not None and kind.name not in ("mp4", "matroska", "avi", "png", "jpeg", "gif", "webp"):
        return InputError(f"{what} is {kind.what}, and no video", kind.hint)
    return InputError(f"{what} is not a video, or is damaged beyond reading")


def _has_index(path: Path) -> bool:
    """Whether an MP4 has its "moov" box (ISO/IEC 14496-12); a box that reaches beyond the file ends the look."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], "big"), head[4:8]
            if name == b"moov":
                return at + length <= size
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if length < 8:
                return False
            at += length
    return False


@contextmanager
def explained(what: str, device: bool, url: str = "") -> Iterator[None]:
    """Turn whatever FFmpeg raises inside into a sentence about `what`."""
    try:
        yield
    except NoctuleError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, MemoryError, NotImplementedError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:  # about the file that is written: see files.writing
            raise
        raise explain(error, what, device, url) from error


def open_input(
    url: str,
    what: str,
    *,
    device: bool,
    format: str | None = None,  # noqa: A002 - FFmpeg's name for it
    options: dict[str, str] | None = None,
    timeout: tuple[float, float] | None = None,
) -> Any:
    """An open container. Raises in words; never larger pictures than layout.MAX_PIXELS."""
    if format is None and not device:
        _check_file(Path(url), what)
    bounded = {"max_pixels": str(MAX_PIXELS), **(options or {})}
    plain = format is None and not device
    if plain and "%" in url:  # a name, not a pattern of names
        bounded["pattern_type"] = "none"
    with explained(what, device, url if plain else ""):
        return av.open(url, format=format, options=bounded, timeout=timeout)


def _check_file(path: Path, what: str) -> None:
    """The plain mistakes, said plainly."""
    try:
        if path.is_dir():
            raise InputError(f"{what} is a folder, not a video")
        if path.exists() and not path.is_file():
            return  # a pipe: what is read of it is gone
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{what} is empty")
    except OSError as error:
        raise explain(error, what, device=False) from error


def video_stream(container: Any, what: str, device: bool) -> Any:
    """The container's moving pictures: not a cover image. Set up to decode with bounded memory and low delay."""
    family = DeviceError if device else InputError
    streams = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PIC]
    if not streams:
        cover = " (only a cover picture)" if container.streams.video else ""
        others = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise family(f"{what} has no video{cover}, it holds {others}" if not cover else f"{what} has no video{cover}")
    stream = max(streams, key=lambda s: s.codec_context.width * s.codec_context.height)
    context = stream.codec_context
    if context is None:
        raise family(f"{what} is in a codec that FFmpeg does not read")
    if not context.width * context.height and animated_webp(Path(container.name)):
        raise family(f"{what} is an animated WebP, which is not read here", "make a GIF or MP4 of it first")
    if not context.width * context.height:  # FFmpeg, told of the limit, does not even say how large it is
        raise TooLargeError(
            f"{what} has pictures that are damaged or beyond the limit of {MAX_PIXELS // 1_000_000} megapixels",
            "scale it down first",
        )
    if context.width * context.height > MAX_PIXELS:
        raise TooLargeError(
            f"{what} has pictures of {context.width}x{context.height}, beyond the limit of"
            f" {MAX_PIXELS // 1_000_000} megapixels",
            "scale it down first",
        )
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def animated_webp(path: Path) -> bool:
    """Whether a file is a WebP with the animation flag of its extended header (WebP container specification)."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except (OSError, ValueError):
        return False
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 0x02)


def decode_alone(stream: Any) -> None:
    """Decode in the calling thread. FFmpeg's own threads spend 15 to 30 % more CPU on the same pictures (measured on
    HEVC and VP9 at 720p), which a board has other uses for; and a seek throws away what they had begun."""
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1  # dav1d has threads of its own


#: a decoder may refuse this many packets in a row before the source counts as broken.
MAX_BAD_PACKETS = 150


def decode_packet(packet: Any, on_error: Callable[[], None]) -> list[Any]:
    """The frames in a packet; a packet that cannot be decoded is reported and gives none."""
    try:
        return list(packet.decode())
    except av.error.EOFError:
        return []
    except (av.error.FFmpegError, ValueError):
        on_error()
        return []
