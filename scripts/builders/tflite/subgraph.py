"""One signature of a .tflite file as tensors and operators; `tflite_graph.Graph` gives the operators their names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from builders.tflite.store import TYPES, DType, Weight


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

    def scales(self, weight: Weight) -> Any:
        """The scales of an int8 weight, the same object for every graph."""


class Subgraph:
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
        if weight.blocks is None:
            return self.model.scales(weight)
        quantisation, details = schema.QuantizationParametersT(), schema.BlockwiseQuantizationT()
        details.scales = self._tensor(weight.blocks.name, weight.blocks.shape, "float16", weight.blocks.buffer).index
        details.zeroPoints, details.blockSize = -1, weight.block
        quantisation.details = details
        quantisation.detailsType = schema.QuantizationDetails.BlockwiseQuantization
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


def _map(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
