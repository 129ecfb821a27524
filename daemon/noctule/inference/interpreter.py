"""tflite-runtime's Interpreter behind `tflite_base`. Given the wrapper object, imports no runtime.

The wrapper (`Interpreter._interpreter`) is used because it knows subgraphs: the public class runs a signature only
by resizing and reallocating at every call. State lives in the input tensors of the runner that ran last; after a
run the outputs are copied over the inputs between views of the runtime's own memory. A signature has its tensors
only once, so runners of one signature (two conversations) take turns in them: who comes, copies the other's out.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noctule.core.errors import ModelError
from noctule.inference.runner import UNNAMED, Array, Buffers, Model, Runner, Runtime, Signature, TensorSpec


def open_wrapper(path: Path, runtime: Runtime, wrapper: Any) -> Model:
    """The model of a wrapper that has loaded `path`."""
    tables: dict[str, Tensors] = {}
    for name, entry in wrapper.GetSignatureDefs().items():
        graph = int(wrapper.GetSubgraphIndexFromSignature(name))
        tables[name] = Tensors(graph, dict(entry["inputs"]), dict(entry["outputs"]))
    if not tables:
        tables[UNNAMED] = Tensors(
            0,
            {str(wrapper.TensorName(int(i), 0)): int(i) for i in wrapper.InputIndices()},
            {str(wrapper.TensorName(int(i), 0)): int(i) for i in wrapper.OutputIndices()},
        )
    for table in tables.values():
        wrapper.AllocateTensors(table.graph)
    signatures = {
        name: Signature(
            interpreter_specs(wrapper, table.graph, table.inputs),
            interpreter_specs(wrapper, table.graph, table.outputs),
        )
        for name, table in tables.items()
    }
    return InterpreterModel(path, runtime, signatures, wrapper, tables)


@dataclass(frozen=True)
class Tensors:
    """Where a signature's tensors are: subgraph, and tensor index by name."""

    graph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


def interpreter_specs(wrapper: Any, graph: int, tensors: Mapping[str, int]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            tuple(int(n) for n in wrapper.TensorSize(index, graph)), np.dtype(wrapper.TensorType(index, graph))
        )
        for name, index in tensors.items()
    }


class InterpreterModel(Model):
    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        signatures: dict[str, Signature],
        wrapper: Any,
        tables: dict[str, Tensors],
    ) -> None:
        super().__init__(path, runtime, signatures)
        self.wrapper = wrapper
        self.tables = tables
        #: subgraph -> the runner whose values its tensors hold
        self.occupants: weakref.WeakValueDictionary[int, InterpreterRunner] = weakref.WeakValueDictionary()

    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        return InterpreterRunner(self, signature, alias or {}, share)

    def close(self) -> None:
        self.wrapper = None


class InterpreterRunner(Runner):
    """State lives in the input tensors of the runner that ran last (`Buffers.home`) and moves on a switch."""

    model: InterpreterModel

    def __init__(
        self, model: InterpreterModel, name: str, alias: Mapping[str, str | None], share: Buffers | None
    ) -> None:
        super().__init__(model, name, alias, share)
        if model.wrapper is None:
            raise ModelError(f"{model.path}: the model is closed")
        self._wrapper = model.wrapper
        self._tensors = model.tables[name]
        #: this runner's tensors by name while another occupies the signature; nothing yet means zeros
        self._kept_inputs: dict[str, Array] = {}
        self._kept_outputs: dict[str, Array] = {}
        self._enter()
        self.state.specs.update({key: self.signature.inputs[key] for key in self.alias})
        if self.state.home is None:
            self.state.home = self

    def _view(self, index: int) -> Array:
        """The tensor's own memory; taken anew at every use because an allocation may move it."""
        view: Array = self._wrapper.tensor(self._wrapper, index, self._tensors.graph)
        return view

    def _input_view(self, name: str) -> Array:
        return self._view(self._tensors.inputs[name])

    def _enter(self) -> None:
        """Make the signature's tensors ours; whose they were keeps a copy."""
        graph = self._tensors.graph
        occupant = self.model.occupants.get(graph)
        if occupant is self:
            return
        if occupant is not None:
            occupant._leave()
        for name in self.signature.inputs:
            self._input_view(name)[...] = self._kept_inputs.pop(name, 0)
        self.model.occupants[graph] = self

    def _leave(self) -> None:
        self._kept_inputs = {name: np.array(self._input_view(name)) for name in self.signature.inputs}
        self._kept_outputs = {name: np.array(self._view(i)) for name, i in self._tensors.outputs.items()}

    def _held(self, name: str) -> Array:
        """An input of ours, wherever it is now."""
        here = self.model.occupants.get(self._tensors.graph) is self
        return self._input_view(name) if here else self._kept_inputs[name]

    def _take_state(self) -> None:
        self._enter()
        home = self.state.home
        if home is not self and home is not None:
            for name in self.alias:
                if name in home.alias:
                    np.copyto(self._input_view(name), home._held(name))
            self.state.home = self

    def _write(self, name: str, spec: TensorSpec, value: Array) -> None:
        if name in self.alias:
            self._take_state()
        self._enter()
        self._input_view(name)[...] = value

    def _read(self, name: str, spec: TensorSpec) -> Array:
        if self.model.occupants.get(self._tensors.graph) is not self and name in self._kept_outputs:
            return np.array(self._kept_outputs[name])
        return np.array(self._view(self._tensors.outputs[name]))

    def _read_state(self, name: str, spec: TensorSpec) -> Array:
        self._take_state()
        return np.array(self._input_view(name))

    def _run(self) -> None:
        self._take_state()
        self._wrapper.Invoke(self._tensors.graph)
        for source, target in self.alias.items():
            if target is not None:
                np.copyto(self._input_view(source), self._view(self._tensors.outputs[target]))
