"""Write a .tflite file op by op, with numpy and the flatbuffer schema that ai-edge-litert carries.

Why not the torch converter: it holds a model several times over in float32 (a 135M model takes 3.6 GB), so a
checkpoint of a few billion weights can never be converted on a desk machine. Here a weight is read, quantised,
appended to a spool file and forgotten; the peak is one tensor. Files above 2 GB are possible because buffers may
live behind the flatbuffer (`Buffer.offset` and `Buffer.size` of the TFLite schema).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
from ai_edge_litert import schema_py_generated as schema

from builders.tflite.operators import Graph, Tensor
from builders.tflite.shared_scales import SharedScales, Written
from builders.tflite.store import ALIGN, Store, Weight

__all__ = ["Graph", "Model", "Tensor", "Weight"]

#: up to this much weight data the buffers stay inside the flatbuffer, which every runtime reads
_INLINE_LIMIT = 512 << 20
_CHUNK = 16 << 20


class Model(Store):
    """The file being written: spooled weights, shared by its graphs, one per signature."""

    def __init__(self, folder: Path, description: str) -> None:
        super().__init__(folder)
        self._description = description
        self._graphs: list[Graph] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._written = Written()
        self._scales: dict[int, SharedScales] = {}

    def graph(self, signature: str) -> Graph:
        """A new empty graph under a signature name."""
        graph = Graph(self, signature)
        self._graphs.append(graph)
        return graph

    def opcode(self, code: int, version: int) -> int:
        """Index of an operator code, registered on first use."""
        return self._codes.setdefault((code, version), len(self._codes))

    def scales(self, weight: Weight) -> SharedScales:
        """The scales of an int8 weight, one object however many graphs read it."""
        assert weight.scale is not None
        if weight.buffer not in self._scales:
            self._scales[weight.buffer] = SharedScales(weight.scale, weight.axis, self._written)
        return self._scales[weight.buffer]

    def write(self, path: Path) -> None:
        """Write the file. Buffers follow the flatbuffer when they would not fit in it."""
        if self.total <= _INLINE_LIMIT:
            path.write_bytes(self._pack(inline=True, base=0))
            return
        head = self._pack(inline=False, base=1 << 40)  # any base that needs the same 8 bytes
        base = len(head) + (-len(head) % ALIGN)
        head = self._pack(inline=False, base=base)
        with path.open("wb") as file:
            file.write(head)
            file.write(b"\0" * (base - len(head)))
            position = 0
            while chunk := self.read(position, _CHUNK):
                file.write(chunk)
                position += len(chunk)

    def _pack(self, *, inline: bool, base: int) -> memoryview:
        self._written.clear()
        model = schema.ModelT()
        model.version = 3
        model.description = self._description
        model.operatorCodes = []
        for code, version in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, version
            entry.deprecatedBuiltinCode = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
            model.operatorCodes.append(entry)
        model.subgraphs = [graph.pack() for graph in self._graphs]
        model.signatureDefs = [graph.pack_signature(i) for i, graph in enumerate(self._graphs)]
        model.buffers = [schema.BufferT()]
        for start, size in self.extents:
            buffer = _AlignedBuffer()
            if inline:
                buffer.spooled = partial(self.read, start, size) if size else None
            else:
                buffer.offset, buffer.size = base + start, size
            model.buffers.append(buffer)
        # large enough from the start: the builder grows by copying, and would hold the weights three times
        room = (8 << 20) + (self.total + 2 * ALIGN * len(self.extents) if inline else 0)
        builder = flatbuffers.Builder(room)
        builder.Finish(model.Pack(builder), b"TFL3")
        return memoryview(builder.Bytes)[builder.Head() :]


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16, which the schema asks for and the generated packer forgets."""

    spooled: Callable[[], bytes] | None = None

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated code's name
        data = None
        if self.spooled is not None:
            payload = self.spooled()
            builder.StartVector(1, len(payload), 16)
            builder.head = builder.Head() - len(payload)
            builder.Bytes[builder.Head() : builder.Head() + len(payload)] = payload
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        return schema.BufferEnd(builder)
