"""Writes the streaming int8 .tflite with numpy and flatbuffers alone; no converter, no TensorFlow.

The microWakeWord v2 contract: input int8 [1, 3, 40] (scale 26/255, zero -128), output uint8 [1, 1] (scale 1/256).
Past activations live in resource variables (VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE; CALL_ONCE runs a second
subgraph that fills them with zeros), which TFLite, TFLite Micro and ESPHome all know. Operators follow
tensorflow/lite/schema/schema.fbs as generated inside ai-edge-litert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from noctule.wake.features import CHANNELS, FEATURE_SCALE

_INT8, _UINT8, _INT32 = schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT32
_OP, _OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions
#: range of the quantised logit; a sigmoid outside it is 0 or 1 in uint8 anyway.
_LOGIT_LOW, _LOGIT_HIGH = -10.0, 8.0


#: feature frames that one inference takes.
STRIDE = 3


@dataclass(frozen=True)
class Layer:
    """A folded convolution ready to be quantised: kernel [out, k, in], bias [out], scales of its input and output."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    dilation: int
    input_scale: float
    output_scale: float


@dataclass(frozen=True)
class Head:
    """The last layer: weights [channels] and bias of the logit, scale of its input."""

    weight: NDArray[np.float32]
    bias: float
    input_scale: float


class _Graph:
    """A model under construction: adds tensors and operators to the current subgraph."""

    def __init__(self, description: str) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = description
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = []
        self._codes: dict[tuple[int, int], int] = {}

    def subgraph(self, name: str) -> Any:
        graph = schema.SubGraphT()
        graph.name = name
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs.append(graph)
        self.graph = graph
        return graph

    def tensor(
        self, name: str, shape: Sequence[int], kind: int, scale: Any = None, zero: int = 0, data: Any = None
    ) -> int:
        """Add a tensor; `scale` may hold one value per slice of dimension 0; `data` makes it constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.hasRank, tensor.buffer = name, list(shape), kind, True, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale is not None:
            quantisation = schema.QuantizationParametersT()
            quantisation.scale = np.atleast_1d(np.asarray(scale, np.float32)).tolist()
            quantisation.zeroPoint = [zero] * len(quantisation.scale)
            quantisation.quantizedDimension = 0
            tensor.quantization = quantisation
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add(
        self, code: int, inputs: Sequence[int], outputs: Sequence[int], kind: int = 0, options: Any = None,
        version: int = 1,
    ) -> None:  # fmt: skip
        if (code, version) not in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
            self._codes[code, version] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes[code, version]
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.graph.operators.append(operator)

    def variable(self, index: int) -> int:
        """A handle of state `index` in the current subgraph."""
        handle = self.tensor(f"handle{index}", [], schema.TensorType.RESOURCE)
        options = schema.VarHandleOptionsT()
        options.container, options.sharedName = "", f"state{index}"
        self.add(_OP.VAR_HANDLE, [], [handle], _OPTIONS.VarHandleOptions, options)
        return handle

    def bytes(self) -> bytes:
        builder = flatbuffers.Builder(1 << 17)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 per output channel, and the scales [out]."""
    scale = np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), 1e-6) / 127
    shaped = scale.reshape(-1, *([1] * (weight.ndim - 1)))
    return np.clip(np.rint(weight / shaped), -127, 127).astype(np.int8), scale.astype(np.float32)


def model_bytes(layers: Sequence[Layer], head: Head, description: str) -> bytes:
    """The whole model file."""
    graph = _Graph(description)
    main = graph.subgraph("main")
    features = graph.tensor("features", [1, STRIDE, CHANNELS], _INT8, FEATURE_SCALE, -128)
    main.inputs = [features]
    once = schema.CallOnceOptionsT()
    once.initSubgraphIndex = 1
    graph.add(_OP.CALL_ONCE, [], [], _OPTIONS.CallOnceOptions, once)
    shape = [1, STRIDE, 1, CHANNELS]
    shape_tensor = graph.tensor("shape", [4], _INT32, data=np.array(shape, np.int32))
    current = graph.tensor("rows", shape, _INT8, FEATURE_SCALE, -128)
    reshape = schema.ReshapeOptionsT()
    reshape.newShape = shape
    graph.add(_OP.RESHAPE, [features, shape_tensor], [current], _OPTIONS.ReshapeOptions, reshape)
    ones = graph.tensor("ones", [4], _INT32, data=np.ones(4, np.int32))
    zeros = graph.tensor("zeros", [4], _INT32, data=np.zeros(4, np.int32))
    rows, states = STRIDE, []
    for index, layer in enumerate(layers):
        current, kept = _convolution(graph, index, layer, current, rows, ones, zeros)
        states.append((kept, layer.kernel.shape[2], layer.input_scale))
        rows = 1
    main.outputs = [_score(graph, head, current)]
    graph.subgraph("init")
    for index, (kept, channels, scale) in enumerate(states):
        handle = graph.variable(index)
        silence = np.full((1, kept, 1, channels), -128, np.int8)
        start = graph.tensor(f"start{index}", silence.shape, _INT8, scale, -128, silence)
        graph.add(_OP.ASSIGN_VARIABLE, [handle, start], [], _OPTIONS.AssignVariableOptions,
                  schema.AssignVariableOptionsT())  # fmt: skip
    return graph.bytes()


def _convolution(
    graph: _Graph, index: int, layer: Layer, current: int, rows: int, ones: int, zeros: int
) -> tuple[int, int]:
    """state + new rows -> convolution; the last rows become the next state. The output tensor and rows kept."""
    out, width, channels = layer.kernel.shape
    kept = (width - 1) * layer.dilation + 1 - rows
    scale = layer.input_scale
    handle = graph.variable(index)
    past = graph.tensor(f"past{index}", [1, kept, 1, channels], _INT8, scale, -128)
    graph.add(_OP.READ_VARIABLE, [handle], [past], _OPTIONS.ReadVariableOptions, schema.ReadVariableOptionsT())
    joined = graph.tensor(f"joined{index}", [1, kept + rows, 1, channels], _INT8, scale, -128)
    concatenate = schema.ConcatenationOptionsT()
    concatenate.axis = 1
    graph.add(_OP.CONCATENATION, [past, current], [joined], _OPTIONS.ConcatenationOptions, concatenate, 2)
    begin = graph.tensor(f"begin{index}", [4], _INT32, data=np.array([0, rows, 0, 0], np.int32))
    next_state = graph.tensor(f"next{index}", [1, kept, 1, channels], _INT8, scale, -128)
    slicing = schema.StridedSliceOptionsT()
    slicing.beginMask, slicing.endMask = 0b1101, 0b1111
    graph.add(_OP.STRIDED_SLICE, [joined, begin, zeros, ones], [next_state], _OPTIONS.StridedSliceOptions, slicing, 2)
    graph.add(_OP.ASSIGN_VARIABLE, [handle, next_state], [], _OPTIONS.AssignVariableOptions,
              schema.AssignVariableOptionsT())  # fmt: skip
    weight, weight_scale = _quantised(layer.kernel)
    weights = graph.tensor(f"weight{index}", [out, width, 1, channels], _INT8, weight_scale, 0, weight)
    bias_scale = weight_scale * scale
    bias = graph.tensor(
        f"bias{index}", [out], _INT32, bias_scale, 0, np.rint(layer.bias / bias_scale).astype(np.int32)
    )
    result = graph.tensor(f"out{index}", [1, 1, 1, out], _INT8, layer.output_scale, -128)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    options.dilationHFactor, options.dilationWFactor = layer.dilation, 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    graph.add(_OP.CONV_2D, [joined, weights, bias], [result], _OPTIONS.Conv2DOptions, options, 3)
    return result, kept


def _score(graph: _Graph, head: Head, current: int) -> int:
    """Logit, sigmoid and the uint8 that the contract wants."""
    weight, scale = _quantised(head.weight.reshape(1, -1))
    weights = graph.tensor("head_weight", weight.shape, _INT8, scale, 0, weight)
    bias_scale = float(scale[0]) * head.input_scale
    bias = graph.tensor("head_bias", [1], _INT32, bias_scale, 0, np.array([round(head.bias / bias_scale)], np.int32))
    step = (_LOGIT_HIGH - _LOGIT_LOW) / 255
    logit = graph.tensor("logit", [1, 1], _INT8, step, round(-128 - _LOGIT_LOW / step))
    graph.add(_OP.FULLY_CONNECTED, [current, weights, bias], [logit], _OPTIONS.FullyConnectedOptions,
              schema.FullyConnectedOptionsT(), 4)  # fmt: skip
    signed = graph.tensor("probability", [1, 1], _INT8, 1 / 256, -128)
    graph.add(_OP.LOGISTIC, [logit], [signed], version=2)
    score = graph.tensor("score", [1, 1], _UINT8, 1 / 256, 0)
    graph.add(_OP.QUANTIZE, [signed], [score], _OPTIONS.QuantizeOptions, schema.QuantizeOptionsT())
    return score
