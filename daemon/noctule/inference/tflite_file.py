"""Looks at a .tflite file before a runtime does. Pure, imports no runtime.

The runtimes map the file and trust it: a file cut short loads in both and is then read past its end. So the
frame is checked here: the flatbuffer's identifier, and that its root table, subgraphs and every constant's bytes
lie inside the file. This is no full flatbuffer verifier; packages are also checked by sha256 (`manifest.py`).

Layout after https://flatbuffers.dev/internals and the TFLite schema (tensorflow/lite/schema/schema.fbs):
Model {0 version, 1 operator_codes, 2 subgraphs, 4 buffers}; Buffer {0 data, 1 offset, 2 size}.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from noctule.core.errors import ModelError
from noctule.core.file_kind import kind_of_bytes

_SUBGRAPHS, _BUFFERS = 2, 4
_DATA, _OFFSET, _SIZE = 0, 1, 2
#: The smallest file that can hold a model with one subgraph.
_LEAST_BYTES = 64


class _OutOfFileError(Exception):
    """An offset points outside the file."""


def check_tflite(path: Path) -> None:
    """Raise ModelError, one sentence, unless `path` is a readable and complete .tflite file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size == 0:
                raise ModelError(f"{path}: the model file is empty", "build or copy it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check(path, data)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model file", "check the path in the configuration") from None
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder, a .tflite file was expected") from None
    except OSError as error:
        raise ModelError(f"{path}: the model file cannot be read: {error.strerror}") from None


def _check(path: Path, data: mmap.mmap) -> None:
    if len(data) < 8 or data[4:8] != b"TFL3":
        kind = kind_of_bytes(bytes(data[:512]))
        if kind is not None:
            raise ModelError(f"{path}: is {kind.what}; a TFLite model was expected", kind.hint)
        raise ModelError(
            f"{path}: is not a TFLite model (the identifier TFL3 is missing)",
            "the file may be garbage: copy it again",
        )
    if len(data) < _LEAST_BYTES:
        raise ModelError(f"{path}: the model file is cut short at {len(data)} bytes", "copy it again")
    try:
        root = _u32(data, 0)
        if not _vector(data, root, _SUBGRAPHS):
            raise ModelError(f"{path}: the model has no graph in it")
        for table in _vector(data, root, _BUFFERS):
            _check_constant(data, table)
    except _OutOfFileError:
        raise ModelError(
            f"{path}: the model file is cut short or damaged at {len(data)} bytes", "copy or build it again"
        ) from None


def _check_constant(data: mmap.mmap, table: int) -> None:
    """The constant's bytes lie in the file, stored in the table or (large models) beyond it."""
    at = _field(data, table, _DATA)
    if at:
        start = at + _u32(data, at)
        if start + 4 + _u32(data, start) > len(data):
            raise _OutOfFileError
    offset, size = _field(data, table, _OFFSET), _field(data, table, _SIZE)
    if offset and size and _u64(data, offset) > 1 and _u64(data, offset) + _u64(data, size) > len(data):
        raise _OutOfFileError


def _u32(data: mmap.mmap, at: int) -> int:
    if not 0 <= at <= len(data) - 4:
        raise _OutOfFileError
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: mmap.mmap, at: int) -> int:
    if not 0 <= at <= len(data) - 8:
        raise _OutOfFileError
    return int.from_bytes(data[at : at + 8], "little")


def _field(data: mmap.mmap, table: int, index: int) -> int:
    """Position of field `index` of the table at `table`; 0 when absent."""
    signed = struct.unpack("<i", _u32(data, table).to_bytes(4, "little"))[0]
    vtable = table - signed
    if not 0 <= vtable <= len(data) - 4:
        raise _OutOfFileError
    length = int.from_bytes(data[vtable : vtable + 2], "little")
    slot = 4 + 2 * index
    if slot + 2 > length:
        return 0
    if vtable + slot + 2 > len(data):
        raise _OutOfFileError
    relative = int.from_bytes(data[vtable + slot : vtable + slot + 2], "little")
    return table + relative if relative else 0


def _vector(data: mmap.mmap, table: int, index: int) -> list[int]:
    """Positions of the tables in the vector that is field `index` of `table`; empty when absent."""
    at = _field(data, table, index)
    if not at:
        return []
    start = at + _u32(data, at)
    count = _u32(data, start)
    if start + 4 + 4 * count > len(data):
        raise _OutOfFileError
    return [at + _u32(data, at) for at in range(start + 4, start + 4 + 4 * count, 4)]
