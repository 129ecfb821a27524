"""Constants of a .tflite file on their way to disk: spooled one by one, so that no two are held at once."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from noctule.core.errors import ModelError

Floats = npt.NDArray[np.float32]
DType = Literal["float32", "float16", "int32", "int8", "int4", "bool"]

TYPES: dict[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "int4": schema.TensorType.INT4,
    "bool": schema.TensorType.BOOL,
}
ALIGN = 64


@dataclass(frozen=True)
class Weight:
    """A constant of the model: a spooled buffer with its shape, type and quantisation.

    `scale` is float32 [shape[axis]] for int8 (symmetric, per row of `axis`); `blocks` names the float16 weight of
    scales [rows, columns / block] of a blockwise int4 weight.
    """

    buffer: int
    shape: tuple[int, ...]
    dtype: DType
    name: str
    scale: Floats | None = None
    axis: int = 0
    blocks: Weight | None = None
    block: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes the runtime reads when it uses the whole weight."""
        per = {"float32": 4.0, "float16": 2.0, "int32": 4.0, "int8": 1.0, "int4": 0.5}[self.dtype]
        extra = self.blocks.nbytes if self.blocks is not None else 0
        return int(math.prod(self.shape) * per) + extra + (0 if self.scale is None else self.scale.nbytes)


class Store:
    """A spool file of weights, and where each begins."""

    def __init__(self, folder: Path) -> None:
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives until `close`
        self._extents: list[tuple[int, int]] = []
        self._small: dict[tuple[str, tuple[int, ...], bytes], Weight] = {}

    def close(self) -> None:
        """Forget the spooled weights."""
        self._spool.close()

    @property
    def extents(self) -> list[tuple[int, int]]:
        """(start in the spool, bytes) of buffers 1, 2, …"""
        return self._extents

    @property
    def total(self) -> int:
        """Bytes of all weights."""
        return sum(size for _, size in self._extents)

    def read(self, start: int, size: int) -> bytes:
        """Spooled bytes."""
        self._spool.seek(start)
        return self._spool.read(size)

    def add(self, array: npt.NDArray[Any], name: str) -> Weight:
        """Spool a float32, float16, int32 or int8 array unquantised."""
        dtype: Any = str(array.dtype)
        if dtype not in TYPES:
            raise ModelError(f"cannot store {name} of type {dtype}")
        return Weight(self._append(array), tuple(array.shape), dtype, name)

    def constant(self, values: npt.ArrayLike, dtype: DType, name: str = "constant") -> Weight:
        """A small constant, stored once however often it is asked for."""
        array = np.array(values, dtype=dtype, order="C")  # keeps 0-d, which ascontiguousarray does not
        key = (str(array.dtype), tuple(array.shape), array.tobytes())
        if key not in self._small:
            self._small[key] = self.add(array, name)
        return self._small[key]

    def int8(self, values: npt.NDArray[np.int8], scale: Floats, name: str, axis: int = 0) -> Weight:
        """Spool int8 `values` with one float32 scale per index of `axis` (value = integer * scale)."""
        return Weight(self._append(values), tuple(values.shape), "int8", name, scale=scale, axis=axis)

    def int4(self, values: npt.NDArray[np.int8], scales: npt.NDArray[np.float16], block: int, name: str) -> Weight:
        """Spool int4 `values` (int8 array in -8..7, [rows, columns]) with float16 scales [rows, columns / block]."""
        low, high = values.reshape(-1)[0::2], values.reshape(-1)[1::2]
        packed = ((low & 0xF) | ((high & 0xF) << 4)).astype(np.uint8)
        blocks = self.add(np.ascontiguousarray(scales), f"{name}.scales")
        return Weight(self._append(packed), tuple(values.shape), "int4", name, blocks=blocks, block=block)

    def _append(self, array: npt.NDArray[Any]) -> int:
        data = np.ascontiguousarray(array)
        position = self._spool.seek(0, os.SEEK_END)
        self._spool.write(b"\0" * (-position % ALIGN))
        start = self._spool.tell()
        self._spool.write(data.data if data.size else b"")
        self._extents.append((start, data.nbytes))
        return len(self._extents)  # buffer 0 is the empty buffer by convention
