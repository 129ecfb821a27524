"""SEANet's convolutions as operators of a step graph: what the last frame left is an explicit state.

Layout is channels last, [1, 1, time, channels]. Every state tensor has the same name as input and output. References:
moshi/modules/conv.py (streaming convolutions), moshi/modules/seanet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from builders.export.kyutai.weights import Floats, quantise_rows
from builders.export.mimi.config import Activation, Conv, Residual, Stage
from builders.tflite.writer import Graph, Model, Tensor, Weight

ConvPrecision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Kernel:
    """A stored convolution: weight [out, 1, width, in] and bias [out]."""

    conv: Conv
    weight: Weight
    bias: Weight


class Waves:
    """A stack of convolutions: stores its weights, then appends its operators to a graph."""

    def __init__(
        self, model: Model, stages: Sequence[Stage], take: Callable[[str], Floats], precision: ConvPrecision
    ) -> None:
        """take: a tensor of the checkpoint by the name `stages` give it."""
        self.model, self.stages, self._take, self._conv = model, stages, take, precision
        self._kernels: dict[str, Kernel] = {}
        for stage in stages:
            for entry in stage.convs if isinstance(stage, Residual) else [stage] if isinstance(stage, Conv) else []:
                self._kernels[entry.name] = self._kernel(entry)

    def _store(self, values: Floats, name: str, precision: str) -> Weight:
        if precision == "float32":
            return self.model.add(values, name)
        integers, scale = quantise_rows(values)
        return self.model.int8(integers, scale, name)

    def _kernel(self, conv: Conv) -> Kernel:
        weight = self._take(f"{conv.name}.weight")
        weight = weight.transpose(1, 2, 0) if conv.transposed else weight.transpose(0, 2, 1)
        # the first and last layers touch the waveform: few bytes, and all of the precision
        precision = "float32" if min(conv.inputs, conv.outputs) == 1 else self._conv
        stored = self._store(np.ascontiguousarray(weight[:, None]), conv.name, precision)
        return Kernel(conv, stored, self.model.add(self._take(f"{conv.name}.bias"), f"{conv.name}.bias"))

    def __call__(self, g: Graph, x: Tensor) -> Tensor:
        """Through the convolutional stack: [1, 1, T, in] to [1, 1, T', out]."""
        for stage in self.stages:
            if isinstance(stage, Activation):
                x = g.unary("ELU", x)
            elif isinstance(stage, Residual):
                y = x
                for conv in stage.convs:
                    y = self._convolve(g, g.unary("ELU", y), self._kernels[conv.name])
                x = g.add(x, y)
            elif stage.transposed:
                x = self._spread(g, x, self._kernels[stage.name])
            else:
                x = self._convolve(g, x, self._kernels[stage.name])
        return x

    def _convolve(self, g: Graph, x: Tensor, kernel: Kernel) -> Tensor:
        """Causal convolution over what the last frame left and this frame."""
        conv = kernel.conv
        past = (conv.width - 1) * conv.dilation + 1 - conv.stride
        if past:
            x = g.concat([g.input(_state(conv.name), [1, 1, past, conv.inputs]), x], 2)
            g.output(_state(conv.name), g.slice(x, [0, 0, x.shape[2] - past, 0], [1, 1, past, conv.inputs]))
        return g.conv(x, kernel.weight, kernel.bias, stride=conv.stride, dilation=conv.dilation)

    def _spread(self, g: Graph, x: Tensor, kernel: Kernel) -> Tensor:
        """Transposed convolution with overlap-add; the overhang, without the bias, is the state."""
        conv = kernel.conv
        y = g.conv_transposed(x, kernel.weight, stride=conv.stride)
        over = conv.width - conv.stride
        if over:
            state = g.input(_state(conv.name), [1, 1, over, conv.outputs])
            head = g.add(g.slice(y, [0, 0, 0, 0], [1, 1, over, conv.outputs]), state)
            rest = y.shape[2] - over
            y = g.concat([head, g.slice(y, [0, 0, over, 0], [1, 1, rest, conv.outputs])], 2)
            g.output(_state(conv.name), g.slice(y, [0, 0, rest, 0], [1, 1, over, conv.outputs]))
            y = g.slice(y, [0, 0, 0, 0], [1, 1, rest, conv.outputs])
        return g.add(y, g.weight(kernel.bias))


def _state(name: str) -> str:
    """encoder.model.1.block.3.conv.conv to state_1_3."""
    return "state_" + "_".join(part for part in name.split(".") if part.isdigit())
