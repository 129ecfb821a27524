"""Rewrites a quantised .tflite so that equal vectors and strings are stored once.

Every signature is a subgraph with tensor entries of its own, and each entry of a quantised matrix carries its scales
and zero points: 12 bytes an output channel, times the number of signatures. A flatbuffer may refer to one vector
from many places; the quantiser's writer does not. For a 135M model with four signatures this is 8 of 145 MB, all
of which a runtime reads at load.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from builders.export.text.cache import cast_to_quantize

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # bytes; the schema's force_align of Buffer.data, which the generated Python writer ignores


class _SharingBuilder(flatbuffers.Builder):
    """A builder that answers with the old offset when it is given an equal vector again."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._known: dict[tuple[str, int, bytes], int] = {}
        self._strings: dict[bytes, int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802 - overrides flatbuffers' name
        data = np.ascontiguousarray(x).tobytes()
        key = (x.dtype.str, len(data), hashlib.sha256(data).digest())
        if key not in self._known:
            self.StartVector(x.itemsize, x.size, _ALIGNMENT)
            self.head -= len(data)
            self.Bytes[self.head : self.head + len(data)] = data
            self._known[key] = self.EndVector()
        return self._known[key]

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        raw = s if isinstance(s, bytes) else str(s).encode(encoding, errors)
        if raw not in self._strings:
            self._strings[raw] = super().CreateString(raw)
        return self._strings[raw]


def compact(path: Path) -> int:
    """Rewrite `path` in place; returns the bytes saved. The graph and its numbers stay the same."""
    old = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(old, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # the quantiser puts the weights behind the flatbuffer; 0 and 1 mean "not there"
            buffer.data = np.frombuffer(old, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    cast_to_quantize(model)
    builder = _SharingBuilder(len(old) + (1 << 20))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    new = bytes(builder.Output())
    path.write_bytes(new)
    return len(old) - len(new)
