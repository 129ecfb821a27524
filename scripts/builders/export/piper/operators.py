"""Operators and layers of a Piper voice's graphs. Frames are [1, 1, time, channels], phonemes too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from builders.export.piper.checkpoint import Convolution, Floats
from builders.tflite.store import Weight
from builders.tflite.writer import Graph, Model, Tensor

Precision = Literal["float32", "float16", "int8"]
#: epsilon of torch's LayerNorm in VITS
_EPSILON = 1e-5


class Layers:
    """Adds layers to one graph; weights are stored once in the file, in the precision named."""

    def __init__(self, model: Model, graph: Graph, weights: dict[str, Weight], precision: Precision) -> None:
        self.model, self.graph, self._weights, self._precision = model, graph, weights, precision

    def store(self, name: str, array: Floats, *, precision: Precision | None = None, axis: int = 0) -> Weight:
        """A constant under a name; the same name gives the same constant in every graph of the file."""
        precision = precision or self._precision
        if name not in self._weights:
            data = np.ascontiguousarray(array, np.float32)
            if precision == "int8":
                others = tuple(i for i in range(data.ndim) if i != axis)
                scale = np.maximum(np.abs(data).max(axis=others), 1e-12).astype(np.float32) / 127
                shape = [-1 if i == axis else 1 for i in range(data.ndim)]
                values = np.clip(np.rint(data / scale.reshape(shape)), -127, 127).astype(np.int8)
                self._weights[name] = self.model.int8(values, scale, name, axis)
            else:
                self._weights[name] = self.model.add(data.astype(precision), name)
        return self._weights[name]

    def constant(self, weight: Weight) -> Tensor:
        """The constant as an operator of convolution reads it: float16 is unpacked when the file is loaded."""
        tensor = self.graph.weight(weight)
        if weight.dtype == "float16":
            options = schema.DequantizeOptionsT()
            return self.graph.op("DEQUANTIZE", [tensor], weight.shape, options=options, version=3)
        return tensor

    def dense(self, a: Tensor, name: str, conv: Convolution) -> Tensor:
        """A convolution of width 1 as a matrix product."""
        weight = self.store(f"{name}.weight", conv.kernel[:, :, 0])
        bias = None if conv.bias is None else self.store(f"{name}.bias", conv.bias, precision="float32")
        return self.graph.linear(a, weight, bias)

    def conv(self, a: Tensor, name: str, conv: Convolution, *, same: bool) -> Tensor:
        """A convolution over time; same: as many steps come out as go in, with zeros around them."""
        kernel = self.store(f"{name}.weight", conv.kernel.transpose(0, 2, 1)[:, None])
        return self._convolve(a, kernel, self._bias(name, conv), conv.dilation, same=same)

    def windows(self, a: Tensor, name: str, conv: Convolution, *, same: bool) -> Tensor:
        """The same as `conv`, as one matrix product over the steps a window spans, side by side.

        With int8 weights this is kinder than CONV_2D: activations are then rounded step by step, each to its own
        scale, not to one of the whole utterance.
        """
        reach = (conv.kernel.shape[2] - 1) * conv.dilation
        if same:
            a = self.pad(a, [0, 0, reach // 2, 0], [0, 0, reach - reach // 2, 0])
        parts = [self.crop(a, i * conv.dilation, reach - i * conv.dilation) for i in range(conv.kernel.shape[2])]
        rows = conv.kernel.transpose(0, 2, 1).reshape(conv.kernel.shape[0], -1)
        return self.graph.linear(
            self.graph.concat(parts, 3), self.store(f"{name}.weight", rows), self._bias(name, conv)
        )

    def _bias(self, name: str, conv: Convolution) -> Weight:
        zeros = np.zeros(conv.kernel.shape[0], np.float32)
        return self.store(f"{name}.bias", zeros if conv.bias is None else conv.bias, precision="float32")

    def _convolve(self, a: Tensor, kernel: Weight, bias: Weight, dilation: int, *, same: bool) -> Tensor:
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.strideW = options.strideH = options.dilationHFactor = 1
        options.dilationWFactor = dilation
        steps = a.shape[2] if same else a.shape[2] - (kernel.shape[2] - 1) * dilation
        inputs = [a, self.constant(kernel), self.graph.weight(bias)]
        version = 5 if kernel.dtype == "int8" else 1
        return self.graph.op("CONV_2D", inputs, [1, 1, steps, kernel.shape[0]], options=options, version=version)

    def depthwise(self, a: Tensor, name: str, conv: Convolution) -> Tensor:
        """A convolution of each channel by itself, zeros around it."""
        kernel = self.store(f"{name}.weight", conv.kernel[:, 0].T[None, None], precision="float32")
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.depthMultiplier = schema.Padding.SAME, 1
        options.strideW = options.strideH = options.dilationHFactor = 1
        options.dilationWFactor = conv.dilation
        inputs = [a, self.graph.weight(kernel), self.graph.weight(self._bias(name, conv))]
        return self.graph.op("DEPTHWISE_CONV_2D", inputs, a.shape, options=options, version=2)

    def upsample(self, a: Tensor, name: str, conv: Convolution) -> Tensor:
        """A transposed convolution whose width is twice its stride: [T] in, [(T - 1) * stride] out.

        Output sample q * stride + p reads inputs q and q - 1 only, so all phases p are one plain convolution of
        width 2, and a reshape. The first and last stride / 2 samples of torch's result, which read one input alone,
        are not made: the caller hands in a frame more on either side.
        """
        kernel, stride = conv.kernel, conv.stride
        rows = np.stack([kernel[:, :, stride:], kernel[:, :, :stride]])  # [2, in, out, phase]: step q - 1, then q
        phases = rows.transpose(3, 2, 0, 1).reshape(stride * kernel.shape[1], 1, 2, kernel.shape[0])
        bias = np.tile(conv.bias if conv.bias is not None else np.zeros(kernel.shape[1], np.float32), stride)
        out = self._convolve(
            a,
            self.store(f"{name}.weight", phases),
            self.store(f"{name}.bias", bias, precision="float32"),
            1,
            same=False,
        )
        return self.graph.reshape(out, [1, 1, out.shape[2] * stride, kernel.shape[1]])

    def norm(self, a: Tensor, gamma: str, values: dict[str, Floats]) -> Tensor:
        """LayerNorm over channels; `gamma` names the scale, beside it lies beta."""
        g = self.graph
        centred = g.sub(a, g.mean(a))
        variance = g.mean(g.mul(centred, centred))
        scaled = g.mul(centred, g.unary("RSQRT", g.add(variance, g.floats([_EPSILON]))))
        beta = gamma.removesuffix("gamma") + "beta"
        weight = g.weight(self.store(gamma, values[gamma], precision="float32"))
        return g.add(g.mul(scaled, weight), g.weight(self.store(beta, values[beta], precision="float32")))

    def leaky(self, a: Tensor, slope: float) -> Tensor:
        """max(x, slope * x)."""
        options = schema.LeakyReluOptionsT()
        options.alpha = slope
        return self.graph.op("LEAKY_RELU", [a], a.shape, options=options)

    def relu(self, a: Tensor) -> Tensor:
        """max(x, 0)."""
        return self.graph.op("RELU", [a], a.shape)

    def pad(self, a: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
        """Zeros around the tensor."""
        amounts = np.stack([before, after], axis=1).astype(np.int32)
        shape = [n + b + e for n, b, e in zip(a.shape, before, after, strict=True)]
        options: Any = schema.PadOptionsT()
        return self.graph.op("PAD", [a, self.graph.ints(amounts)], shape, options=options)

    def crop(self, a: Tensor, left: int, right: int) -> Tensor:
        """Steps [left, T - right)."""
        if left == right == 0:
            return a
        return self.graph.slice(a, [0, 0, left, 0], [1, 1, a.shape[2] - left - right, a.shape[3]])

    def channels(self, a: Tensor, start: int, count: int) -> Tensor:
        """Channels [start, start + count)."""
        return self.graph.slice(a, [0, 0, 0, start], [1, 1, a.shape[2], count])
