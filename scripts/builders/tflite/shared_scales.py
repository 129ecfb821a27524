"""Scales of quantised weights, written once however many graphs and tensors use them.

A graph of each context length names the same weights, and each tensor carries its scales and as many zero points of
eight bytes, all zero: without sharing these are a tenth of a small model's file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema


class Written:
    """Where in the file being packed each vector and each table of scales already is."""

    def __init__(self) -> None:
        self._vectors: dict[tuple[str, bytes], int] = {}
        self.tables: dict[int, int] = {}

    def clear(self) -> None:
        """Forget all: another packing begins."""
        self._vectors.clear()
        self.tables.clear()

    def vector(self, builder: Any, values: npt.NDArray[Any]) -> int:
        """The offset of these numbers, written if they were not yet."""
        key = (str(values.dtype), values.tobytes())
        if key not in self._vectors:
            self._vectors[key] = builder.CreateNumpyVector(values)
        return self._vectors[key]


class SharedScales(schema.QuantizationParametersT):  # type: ignore[misc]
    """Symmetric scales along one axis; the tensors of all graphs that read one weight hold this very object."""

    def __init__(self, scale: npt.NDArray[np.float32], axis: int, written: Written) -> None:
        super().__init__()
        self.scale = np.ascontiguousarray(scale, np.float32)
        self.zeroPoint = np.zeros(len(scale), np.int64)
        self.quantizedDimension = axis
        self._written = written

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the generated code's name
        tables = self._written.tables
        if id(self) not in tables:
            scale = self._written.vector(builder, self.scale)
            zero = self._written.vector(builder, self.zeroPoint)
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, zero)
            schema.QuantizationParametersAddQuantizedDimension(builder, self.quantizedDimension)
            tables[id(self)] = schema.QuantizationParametersEnd(builder)
        return tables[id(self)]
