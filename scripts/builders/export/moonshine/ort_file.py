"""Reads an .ort file (ONNX Runtime's flatbuffer) with the `flatbuffers` package: constants and nodes, no runtime.

Field numbers after onnxruntime/core/flatbuffers/schema/ort.fbs of microsoft/onnxruntime, which keeps them for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from flatbuffers import number_types as types  # type: ignore[import-untyped]
from flatbuffers.table import Table  # type: ignore[import-untyped]

from noctule.core.errors import InputError

Array = npt.NDArray[Any]

#: onnx.TensorProto.DataType of what a quantised Moonshine holds
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?"}
_SESSION_MODEL, _MODEL_GRAPH = 1, 7
_GRAPH_CONSTANTS, _GRAPH_NODES = 0, 2
_TENSOR_NAME, _TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_DATA = 0, 2, 3, 4
_NODE_NAME, _NODE_OPERATOR, _NODE_INPUTS, _NODE_ATTRIBUTES = 0, 5, 8, 10
_ATTRIBUTE_GRAPH = 7


@dataclass(frozen=True)
class Node:
    """An operator: its type, its name and the names of its inputs ("" where one is left out)."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    #: graphs inside it (the branches of an If)
    graphs: tuple[Graph, ...]


@dataclass(frozen=True)
class Graph:
    """Constants by name, and the nodes in order."""

    constants: dict[str, Array]
    nodes: tuple[Node, ...]

    def walk(self, outer: dict[str, Array] | None = None) -> Iterator[tuple[Node, dict[str, Array]]]:
        """Every node of this graph and of those inside it, with the constants it can see."""
        seen = {**(outer or {}), **self.constants}
        for node in self.nodes:
            yield node, seen
            for inner in node.graphs:
                yield from inner.walk(seen)


def read_ort(data: bytes, what: str) -> Graph:
    """The graph in the bytes of an .ort file. Raises InputError naming `what` when they are none."""
    if data[4:8] != b"ORTM":
        raise InputError(f"{what} is not an .ort file (the identifier ORTM is missing)")
    try:
        session = Table(data, struct.unpack_from("<I", data)[0])
        return _graph(_child(_child(session, _SESSION_MODEL), _MODEL_GRAPH))
    except (struct.error, ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{what} is cut short or damaged: {error}", "download it again") from None


def _graph(table: Table) -> Graph:
    constants = {}
    for tensor in _children(table, _GRAPH_CONSTANTS):
        dims = tuple(int(n) for n in _numbers(tensor, _TENSOR_DIMS, "<i8"))
        code = _scalar(tensor, _TENSOR_TYPE, types.Int32Flags)
        if code in _DTYPES:
            constants[_text(tensor, _TENSOR_NAME)] = _numbers(tensor, _TENSOR_DATA, _DTYPES[code]).reshape(dims)
    return Graph(constants, tuple(_node(node) for node in _children(table, _GRAPH_NODES)))


def _node(table: Table) -> Node:
    graphs = []
    for attribute in _children(table, _NODE_ATTRIBUTES):
        if _offset(attribute, _ATTRIBUTE_GRAPH):
            graphs.append(_graph(_child(attribute, _ATTRIBUTE_GRAPH)))
    return Node(_text(table, _NODE_OPERATOR), _text(table, _NODE_NAME), _texts(table, _NODE_INPUTS), tuple(graphs))


def _offset(table: Table, field: int) -> int:
    return int(table.Offset(4 + 2 * field))


def _child(table: Table, field: int) -> Table:
    at = _offset(table, field)
    if not at:
        raise ValueError(f"a table lacks its field {field}")
    return Table(table.Bytes, table.Indirect(at + table.Pos))


def _children(table: Table, field: int) -> Iterator[Table]:
    at = _offset(table, field)
    if at:
        start = table.Vector(at)
        for i in range(table.VectorLen(at)):
            yield Table(table.Bytes, table.Indirect(start + 4 * i))


def _scalar(table: Table, field: int, flags: Any) -> int:
    at = _offset(table, field)
    return int(table.Get(flags, at + table.Pos)) if at else 0


def _text(table: Table, field: int) -> str:
    at = _offset(table, field)
    return bytes(table.String(at + table.Pos)).decode() if at else ""


def _texts(table: Table, field: int) -> tuple[str, ...]:
    at = _offset(table, field)
    if not at:
        return ()
    start = table.Vector(at)
    return tuple(bytes(table.String(start + 4 * i)).decode() for i in range(table.VectorLen(at)))


def _numbers(table: Table, field: int, dtype: str) -> Array:
    at = _offset(table, field)
    if not at:
        return np.zeros(0, dtype)
    start, count = table.Vector(at), table.VectorLen(at)
    width = 1 if field == _TENSOR_DATA else np.dtype(dtype).itemsize
    return np.frombuffer(table.Bytes, dtype, count * width // np.dtype(dtype).itemsize, start)
