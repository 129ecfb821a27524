"""Write a .tflite file op by op, with numpy and the flatbuffer schema that ai-edge-litert carries.

Why not the torch converter: it holds a model several times over in float32 (a 135M model takes 3.6 GB), so a
checkpoint of a few billion weights can never be converted on a desk machine. Here a weight is read, quantised,
appended to a spool file and forgotten; the peak is one tensor. Files above 2 GB are possible because buffers may
live behind the flatbuffer (`Buffer.offset` and `Buffer.size` of the TFLite schema).

A `Model` owns the spooled weights, shared by its `Graph`s (one per signature). A `Graph` has one method per
operator; each returns a `Tensor` handle. Shapes are inferred here, so a mistake fails while building.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from noctule.errors import ModelError

Floats = npt.NDArray[np.float32]
DType = Literal["float32", "float16", "int32", "int8", "int4"]

_TYPES: dict[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "int4": schema.TensorType.INT4,
}
_ALIGN = 64
#: below this much weight data the buffers stay inside the flatbuffer, which every runtime reads
_INLINE_LIMIT = 512 << 20


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


@dataclass(frozen=True)
class Tensor:
    """A handle on a tensor of one graph."""

    index: int
    shape: tuple[int, ...]
    dtype: DType


class Model:
    """The file being written: spooled weights, and graphs by signature name."""

    def __init__(self, folder: Path, description: str) -> None:
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives until `close`
        self._extents: list[tuple[int, int]] = []
        self._description = description
        self._graphs: list[Graph] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._small: dict[tuple[str, tuple[int, ...], bytes], Weight] = {}

    def close(self) -> None:
        """Forget the spooled weights; the file written stays."""
        self._spool.close()

    def graph(self, signature: str) -> Graph:
        """A new empty graph under a signature name."""
        graph = Graph(self, signature)
        self._graphs.append(graph)
        return graph

    def add(self, array: npt.NDArray[Any], name: str) -> Weight:
        """Spool a float32, float16, int32 or int8 array unquantised."""
        dtype: Any = str(array.dtype)
        if dtype not in _TYPES:
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
        self._spool.write(b"\0" * (-position % _ALIGN))
        start = self._spool.tell()
        self._spool.write(data.data if data.size else b"")
        self._extents.append((start, data.nbytes))
        return len(self._extents)  # buffer 0 is the empty buffer by convention

    def opcode(self, code: int, version: int) -> int:
        """Index of an operator code, registered on first use."""
        return self._codes.setdefault((code, version), len(self._codes))

    def write(self, path: Path) -> None:
        """Write the file. Buffers follow the flatbuffer when they would not fit in it."""
        total = sum(size for _, size in self._extents)
        if total <= _INLINE_LIMIT:
            path.write_bytes(self._pack(inline=True, base=0))
            return
        head = self._pack(inline=False, base=1 << 40)  # any base that needs the same 8 bytes
        base = len(head) + (-len(head) % _ALIGN)
        head = self._pack(inline=False, base=base)
        with path.open("wb") as file:
            file.write(head)
            file.write(b"\0" * (base - len(head)))
            self._spool.seek(0)
            while chunk := self._spool.read(1 << 24):
                file.write(chunk)

    def _pack(self, *, inline: bool, base: int) -> bytes:
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
        for start, size in self._extents:
            buffer = _AlignedBuffer()
            if inline:
                self._spool.seek(start)
                buffer.payload = self._spool.read(size)
            else:
                buffer.offset, buffer.size = base + start, size
            model.buffers.append(buffer)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16, which the schema asks for and the generated packer forgets."""

    payload: bytes = b""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the generated code's name
        data = None
        if self.payload:
            builder.StartVector(1, len(self.payload), 16)
            builder.head = builder.Head() - len(self.payload)
            builder.Bytes[builder.Head() : builder.Head() + len(self.payload)] = self.payload
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        return schema.BufferEnd(builder)


class Graph:
    """One signature: inputs, operators, outputs. Every method appends operators and returns their result."""

    def __init__(self, model: Model, signature: str) -> None:
        self.model = model
        self.signature = signature
        self.weights: dict[int, Weight] = {}
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._inputs: dict[str, int] = {}
        self._outputs: dict[str, int] = {}
        self._seen: dict[int, Tensor] = {}
        self._rows: dict[int, int] = {}

    # -- plumbing ---------------------------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int], dtype: DType = "float32") -> Tensor:
        """A named input of the signature."""
        tensor = self._tensor(name, tuple(shape), dtype, 0)
        self._inputs[name] = tensor.index
        return tensor

    def output(self, name: str, tensor: Tensor) -> None:
        """Name a result of the signature."""
        self._outputs[name] = tensor.index

    def weight(self, weight: Weight) -> Tensor:
        """The tensor of a constant in this graph."""
        if weight.buffer not in self._seen:
            tensor = self._tensor(weight.name, weight.shape, weight.dtype, weight.buffer)
            self._seen[weight.buffer] = tensor
            self.weights[weight.buffer] = weight
            if weight.scale is not None or weight.blocks is not None:
                self._tensors[tensor.index].quantization = self._quantisation(weight)
        return self._seen[weight.buffer]

    def ints(self, values: npt.ArrayLike) -> Tensor:
        """A small int32 constant."""
        return self.weight(self.model.constant(values, "int32"))

    def floats(self, values: npt.ArrayLike) -> Tensor:
        """A small float32 constant."""
        return self.weight(self.model.constant(values, "float32"))

    def _quantisation(self, weight: Weight) -> Any:
        quantisation = schema.QuantizationParametersT()
        if weight.blocks is not None:
            details = schema.BlockwiseQuantizationT()
            details.scales = self._tensor(
                weight.blocks.name, weight.blocks.shape, "float16", weight.blocks.buffer
            ).index
            details.zeroPoints, details.blockSize = -1, weight.block
            quantisation.details = details
            quantisation.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        else:
            assert weight.scale is not None
            quantisation.scale = np.ascontiguousarray(weight.scale, np.float32)
            quantisation.zeroPoint = np.zeros(len(weight.scale), np.int64)
        quantisation.quantizedDimension = weight.axis
        return quantisation

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: DType, buffer: int) -> Tensor:
        entry = schema.TensorT()
        entry.name, entry.shape, entry.type = name, np.array(shape, np.int32), _TYPES[dtype]
        entry.buffer, entry.hasRank = buffer, True
        self._tensors.append(entry)
        return Tensor(len(self._tensors) - 1, shape, dtype)

    def op(
        self,
        code: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        *,
        dtype: DType = "float32",
        options: Any = None,
        version: int = 1,
    ) -> Tensor:
        """Append one operator with one result."""
        builtin = getattr(schema.BuiltinOperator, code)
        result = self._tensor(f"{code.lower()}_{len(self._operators)}", tuple(int(n) for n in shape), dtype, 0)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.model.opcode(builtin, version)
        operator.inputs = [-1 if tensor is None else tensor.index for tensor in inputs]
        operator.outputs = [result.index]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(operator)
        return result

    def pack(self) -> Any:
        """The subgraph as a schema object."""
        subgraph = schema.SubGraphT()
        subgraph.name = self.signature
        subgraph.tensors = self._tensors
        subgraph.operators = self._operators
        subgraph.inputs = list(self._inputs.values())
        subgraph.outputs = list(self._outputs.values())
        return subgraph

    def pack_signature(self, index: int) -> Any:
        """The signature definition as a schema object."""
        definition = schema.SignatureDefT()
        definition.signatureKey, definition.subgraphIndex = self.signature, index
        definition.inputs = [_map(name, tensor) for name, tensor in sorted(self._inputs.items())]
        definition.outputs = [_map(name, tensor) for name, tensor in sorted(self._outputs.items())]
        return definition

    def specs(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Shapes and types of the signature's inputs and outputs, as the manifest states them."""
        names = {number: name for name, number in _TYPES.items()}

        def describe(tensors: dict[str, int]) -> dict[str, dict[str, Any]]:
            return {
                name: {"shape": [int(n) for n in self._tensors[i].shape], "dtype": names[self._tensors[i].type]}
                for name, i in sorted(tensors.items())
            }

        return {"inputs": describe(self._inputs), "outputs": describe(self._outputs)}

    def traffic(self) -> int:
        """Bytes one run reads: every weight once, of a table only the rows looked up, and the float inputs."""
        total = 0
        for buffer, weight in self.weights.items():
            rows = self._rows.get(buffer)
            total += weight.nbytes if rows is None else weight.nbytes // weight.shape[0] * rows
        for index in self._inputs.values():
            if self._tensors[index].type == schema.TensorType.FLOAT32:
                total += 4 * math.prod(int(n) for n in self._tensors[index].shape)
        return total

    # -- element-wise -----------------------------------------------------------------------------------------

    def _binary(self, code: str, options: Any, a: Tensor, b: Tensor) -> Tensor:
        return self.op(code, [a, b], np.broadcast_shapes(a.shape, b.shape), options=options, dtype=a.dtype)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b, broadcast."""
        return self._binary("ADD", schema.AddOptionsT(), a, b)

    def sub(self, a: Tensor, b: Tensor) -> Tensor:
        """a - b, broadcast."""
        return self._binary("SUB", schema.SubOptionsT(), a, b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """a * b, broadcast."""
        return self._binary("MUL", schema.MulOptionsT(), a, b)

    def unary(self, code: str, a: Tensor) -> Tensor:
        """RSQRT, COS, SIN, LOGISTIC, ELU, EXP, TANH, FLOOR …"""
        return self.op(code, [a], a.shape, dtype=a.dtype)

    def gelu(self, a: Tensor) -> Tensor:
        """Exact (erf) GELU."""
        return self.op("GELU", [a], a.shape, options=schema.GeluOptionsT())

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        """Element-wise maximum, broadcast."""
        return self._binary("MAXIMUM", schema.MaximumMinimumOptionsT(), a, b)

    def minimum(self, a: Tensor, b: Tensor) -> Tensor:
        """Element-wise minimum, broadcast."""
        return self._binary("MINIMUM", schema.MaximumMinimumOptionsT(), a, b)

    def modulo(self, a: Tensor, divisor: int) -> Tensor:
        """a mod divisor, for int32 a."""
        return self.op("FLOOR_MOD", [a, self.ints([divisor])], a.shape, dtype="int32")

    def less(self, a: Tensor, b: Tensor) -> Tensor:
        """1.0 where a < b else 0.0, for float32 holding whole numbers: min(1, max(0, b - a))."""
        return self.minimum(self.maximum(self.sub(b, a), self.floats([0.0])), self.floats([1.0]))

    def cast_float(self, a: Tensor) -> Tensor:
        """int32 to float32."""
        return self.op("CAST", [a], a.shape, options=schema.CastOptionsT())

    # -- shape ------------------------------------------------------------------------------------------------

    def reshape(self, a: Tensor, shape: Sequence[int]) -> Tensor:
        """The same values under another shape."""
        if math.prod(shape) != math.prod(a.shape):
            raise ModelError(f"{self.signature}: cannot reshape {a.shape} to {tuple(shape)}")
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self.op("RESHAPE", [a, self.ints(list(shape))], shape, options=options, dtype=a.dtype)

    def transpose(self, a: Tensor, order: Sequence[int]) -> Tensor:
        """Permute the axes."""
        return self.op(
            "TRANSPOSE",
            [a, self.ints(list(order))],
            [a.shape[i] for i in order],
            dtype=a.dtype,
            options=schema.TransposeOptionsT(),
        )

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join along an axis."""
        options = schema.ConcatenationOptionsT()
        options.axis = axis % len(parts[0].shape)
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.op("CONCATENATION", list(parts), shape, options=options, dtype=parts[0].dtype)

    def slice(self, a: Tensor, begin: Sequence[int], size: Sequence[int]) -> Tensor:
        """A box of the tensor; a size of -1 reaches the end."""
        full = [n - b if s < 0 else s for n, b, s in zip(a.shape, begin, size, strict=True)]
        return self.op(
            "SLICE", [a, self.ints(list(begin)), self.ints(full)], full, dtype=a.dtype, options=schema.SliceOptionsT()
        )

    # -- linear algebra and reductions ------------------------------------------------------------------------

    def linear(self, a: Tensor, weight: Weight, bias: Weight | None = None) -> Tensor:
        """a [rows, in] times weight [out, in] transposed, plus bias [out]."""
        if a.shape[-1] != weight.shape[1]:
            raise ModelError(f"{self.signature}: {weight.name} {weight.shape} does not fit an input of {a.shape}")
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        inputs = [a, self.weight(weight), None if bias is None else self.weight(bias)]
        # version 5: the bias may be absent; 12 and 13: int4 and blockwise weights
        version = {"float32": 5, "float16": 5, "int8": 5, "int4": 13}[weight.dtype]
        return self.op("FULLY_CONNECTED", inputs, [*a.shape[:-1], weight.shape[0]], options=options, version=version)

    def matmul(self, a: Tensor, b: Tensor, *, transpose_b: bool) -> Tensor:
        """Batch matrix product of 4-D tensors; `transpose_b` contracts the last axis of both."""
        options = schema.BatchMatMulOptionsT()
        options.adjX, options.adjY = False, transpose_b
        columns = b.shape[-2] if transpose_b else b.shape[-1]
        return self.op("BATCH_MATMUL", [a, b], [*a.shape[:-1], columns], options=options)

    def softmax(self, a: Tensor) -> Tensor:
        """Over the last axis."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self.op("SOFTMAX", [a], a.shape, options=options)

    def mean(self, a: Tensor) -> Tensor:
        """Over the last axis, kept."""
        return self._reduce("MEAN", a, len(a.shape) - 1)

    def sum(self, a: Tensor, axis: int) -> Tensor:
        """Over one axis, kept."""
        return self._reduce("SUM", a, axis)

    def _reduce(self, code: str, a: Tensor, axis: int) -> Tensor:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        shape = list(a.shape)
        shape[axis] = 1
        return self.op(code, [a, self.ints([axis])], shape, options=options)

    def argmax(self, a: Tensor) -> Tensor:
        """int32 index of the largest value of the last axis (dropped)."""
        options = schema.ArgMaxOptionsT()
        options.outputType = schema.TensorType.INT32
        return self.op("ARG_MAX", [a, self.ints([len(a.shape) - 1])], a.shape[:-1], dtype="int32", options=options)

    def lookup(self, rows: Tensor, table: Weight) -> Tensor:
        """Rows int32 [n] of a table [N, dim]: float32 [n, dim]."""
        self._rows[table.buffer] = self._rows.get(table.buffer, 0) + rows.shape[0]
        return self.op("EMBEDDING_LOOKUP", [rows, self.weight(table)], [rows.shape[0], table.shape[1]], version=3)

    def update(self, target: Tensor, values: Tensor, start: Sequence[Tensor]) -> Tensor:
        """`target` with `values` written at a start index (one int32 scalar tensor per axis)."""
        options = schema.PackOptionsT()
        options.valuesCount, options.axis = len(start), 0
        index = self.op("PACK", list(start), [len(start)], dtype="int32", options=options)
        return self.op("DYNAMIC_UPDATE_SLICE", [target, values, index], target.shape)

    # -- convolution (channels last: [1, 1, time, channels]) --------------------------------------------------

    def conv(self, a: Tensor, kernel: Weight, bias: Weight, *, stride: int = 1, dilation: int = 1) -> Tensor:
        """Valid 1-D convolution; kernel [out, 1, width, in]."""
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW, options.strideH = stride, 1
        options.dilationWFactor, options.dilationHFactor = dilation, 1
        reach = (kernel.shape[2] - 1) * dilation + 1
        steps = (a.shape[2] - reach) // stride + 1
        return self.op(
            "CONV_2D",
            [a, self.weight(kernel), self.weight(bias)],
            [1, 1, steps, kernel.shape[0]],
            options=options,
            version=1 if kernel.dtype == "float32" else 5,
        )

    def conv_transposed(self, a: Tensor, kernel: Weight, *, stride: int) -> Tensor:
        """Full transposed 1-D convolution; kernel [out, 1, width, in]; (T - 1) * stride + width steps come out."""
        options = schema.TransposeConvOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW, options.strideH = stride, 1
        shape = [1, 1, (a.shape[2] - 1) * stride + kernel.shape[2], kernel.shape[0]]
        return self.op("TRANSPOSE_CONV", [self.ints(shape), self.weight(kernel), a], shape, options=options)


def _map(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
