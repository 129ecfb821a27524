"""One signature of a .tflite file, operator by operator.

A `Graph` has one method per operator; each returns a `Tensor` handle. Shapes are inferred here, so a mistake fails
while building and not on the board.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from exporting.tflite_store import TYPES, DType, Weight
from noctule.errors import ModelError


@dataclass(frozen=True)
class Tensor:
    """A handle on a tensor of one graph."""

    index: int
    shape: tuple[int, ...]
    dtype: DType


class Owner(Protocol):
    """What a graph needs of the file it belongs to."""

    def constant(self, values: npt.ArrayLike, dtype: DType, name: str = "constant") -> Weight:
        """A small constant, stored once."""

    def opcode(self, code: int, version: int) -> int:
        """Index of an operator code."""


class Graph:
    """One signature: inputs, operators, outputs. Every method appends operators and returns their result."""

    def __init__(self, model: Owner, signature: str) -> None:
        self.model = model
        self.signature = signature
        self._whole: dict[int, Weight] = {}
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._inputs: dict[str, int] = {}
        self._outputs: dict[str, int] = {}
        self._seen: dict[int, Tensor] = {}
        self._rows: list[tuple[Weight, int]] = []

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
        """The tensor of a constant in this graph, for an operator that reads all of it."""
        self._whole[weight.buffer] = weight
        return self._constant(weight)

    def _constant(self, weight: Weight) -> Tensor:
        if weight.buffer not in self._seen:
            tensor = self._tensor(weight.name, weight.shape, weight.dtype, weight.buffer)
            self._seen[weight.buffer] = tensor
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
        entry.name, entry.shape, entry.type = name, np.array(shape, np.int32), TYPES[dtype]
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
        names = {number: name for name, number in TYPES.items()}

        def describe(tensors: dict[str, int]) -> dict[str, dict[str, Any]]:
            return {
                name: {"shape": [int(n) for n in self._tensors[i].shape], "dtype": names[self._tensors[i].type]}
                for name, i in sorted(tensors.items())
            }

        return {"inputs": describe(self._inputs), "outputs": describe(self._outputs)}

    def traffic(self) -> int:
        """Bytes one run reads: every weight once, of a table only the rows looked up, and the float inputs."""
        total = sum(weight.nbytes for weight in self._whole.values())
        for table, rows in self._rows:
            if table.buffer not in self._whole:
                total += table.nbytes // table.shape[0] * rows
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
        self._rows.append((table, rows.shape[0]))
        return self.op("EMBEDDING_LOOKUP", [rows, self._constant(table)], [rows.shape[0], table.shape[1]], version=3)

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
