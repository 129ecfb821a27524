"""What a file is in truth, by its first bytes: for the sentence that refuses it where something else was expected.

The usual strangers: a Git LFS pointer (a clone without git-lfs), a web page (a download of the page instead of the
file), an archive that was not unpacked, a model of another program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

#: bytes that are looked at.
_HEAD = 512


@dataclass(frozen=True)
class FileKind:
    """what: as in "is WHAT"; hint: what to do where it stands in the place of a model or recording."""

    name: str
    what: str
    hint: str = ""


_POINTER = FileKind(
    "lfs-pointer",
    "a Git LFS pointer, not the file itself",
    "git lfs install && git lfs pull, in the folder that was cloned",
)
_PAGE = FileKind("web-page", "a web page, not the file itself", "download the raw file, not the page that shows it")
_UNPACK = "unpack it and name what is in it"
_MAGIC: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"version https://git-lfs.github.com/spec/", _POINTER),
    (0, b"GGUF", FileKind("gguf", "a GGUF model (of llama.cpp)")),
    (0, b"PK\x03\x04", FileKind("zip", "a zip archive", _UNPACK)),
    (0, b"PK\x05\x06", FileKind("zip", "an empty zip archive", "download it again")),
    (0, b"\x1f\x8b", FileKind("gzip", "a gzip archive", _UNPACK)),
    (0, b"BZh", FileKind("bzip2", "a bzip2 archive", _UNPACK)),
    (0, b"\xfd7zXZ\0", FileKind("xz", "an xz archive", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", FileKind("zstd", "a zstd archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind("7z", "a 7z archive", _UNPACK)),
    (257, b"ustar", FileKind("tar", "a tar archive", _UNPACK)),
    (4, b"TFL3", FileKind("tflite", "a TFLite model")),
    (0, b"\x89HDF", FileKind("hdf5", "a Keras model (HDF5)", "convert it to TFLite first")),
    (0, b"\x89PNG", FileKind("png", "a PNG picture")),
    (0, b"\xff\xd8\xff", FileKind("jpeg", "a JPEG picture")),
    (0, b"GIF8", FileKind("gif", "a GIF picture")),
    (0, b"%PDF", FileKind("pdf", "a PDF document")),
    (0, b"OggS", FileKind("ogg", "an Ogg recording")),
    (0, b"fLaC", FileKind("flac", "a FLAC recording")),
    (0, b"ID3", FileKind("mp3", "an MP3 recording")),
    (0, b"\xff\xfb", FileKind("mp3", "an MP3 recording")),
    (4, b"ftyp", FileKind("mp4", "an MP4 file")),
    (0, b"\x1a\x45\xdf\xa3", FileKind("matroska", "a Matroska or WebM file")),
    (8, b"WAVE", FileKind("wav", "a WAV recording")),
    (8, b"WEBP", FileKind("webp", "a WebP picture")),
    (8, b"AVI ", FileKind("avi", "an AVI video")),
    (0, b"\x7fELF", FileKind("elf", "a program")),
    (0, b"#!", FileKind("script", "a script")),
)
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head)\b", re.IGNORECASE | re.DOTALL
)
_SAFETENSORS = FileKind("safetensors", "a safetensors checkpoint", "scripts/export_lm.py makes a package of it")


def kind_of_bytes(head: bytes) -> FileKind | None:
    """The kind of a file that begins with `head` (512 bytes are enough); None when it is none of those known."""
    for at, magic, kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind
    bare = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(bare):
        return _PAGE
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return _SAFETENSORS
    if re.match(rb'\s*(?:\{\s*["}]|\[\s*["{\[\d\]])', bare):
        return FileKind("json", "a JSON text")
    return None


def kind_of(path: Path) -> FileKind | None:
    """The kind of the file at `path`; None for an unknown kind, a folder, or what cannot be read."""
    try:
        with path.open("rb") as file:
            return kind_of_bytes(file.read(_HEAD))
    except (OSError, ValueError):
        return None
