"""The operators of a .tflite graph.

One method per operator; each appends to the graph and returns a `Tensor` handle. Shapes are inferred here, so a
mistake fails while building and not on the board.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from builders.tflite.store import Weight
from builders.tflite.subgraph import Subgraph, Tensor
from noctule.core.errors import ModelError

__all__ = ["Graph", "Tensor"]


class Graph(Subgraph):
    """One signature, built operator by operator."""

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

    def gelu(self, a: Tensor, *, tanh: bool = False) -> Tensor:
        """GELU: exact (erf), or by tanh as in PyTorch's approximate="tanh"."""
        options = schema.GeluOptionsT()
        options.approximate = tanh
        return self.op("GELU", [a], a.shape, options=options)

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
        """a [rows, in] times weight [out, in] transposed, plus bias [out].

        A float16 weight is stored at half its size and unpacked to float32 when the file is loaded.
        """
        if a.shape[-1] != weight.shape[1]:
            raise ModelError(f"{self.signature}: {weight.name} {weight.shape} does not fit an input of {a.shape}")
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        rows = self.weight(weight)
        if weight.dtype == "float16":
            rows = self.op("DEQUANTIZE", [rows], weight.shape, options=schema.DequantizeOptionsT(), version=3)
        inputs = [a, rows, None if bias is None else self.weight(bias)]
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
