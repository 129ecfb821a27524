"""The only door to a TFLite runtime. L1.

Two runtimes are spoken: `ai-edge-litert` (its CompiledModel; first choice) and `tflite-runtime` (its Interpreter;
for systems pinned to it, Python <= 3.11). Both give the same three things:

    model = load_model(path, threads=2, weight_cache=file)
    step = model.runner("decode_128", alias={"kv_cache_k_0": "kv_cache_k_0", ...})
    step.write("tokens", tokens); step.run(); logits = step.read("logits")

State. `alias` maps an input to the output that replaces it in the next step. With CompiledModel the two are one
buffer, so that an in-graph DYNAMIC_UPDATE_SLICE works in place; with the Interpreter the output is copied over
the input inside the runtime's own memory. Either way a step moves no state through Python. An input mapped to
None keeps its value and has no output (a conditioning tensor). `share=other.state` lets a second signature use
the same state; `state` outlives the runner. Every input starts at zero: the runtimes leave it uninitialised.

Shapes are static. One model and its runners belong to one thread at a time. Errors are ModelError, one sentence.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noctule.errors import ModelError
from noctule.native_stderr import captured_stderr, explain, one_line
from noctule.tflite_base import Array, Buffers, Model, Runner, Runtime, Signature, TensorSpec

__all__ = [
    "UNNAMED",
    "Buffers",
    "LiteRt",
    "Model",
    "Runner",
    "Runtime",
    "Signature",
    "TensorSpec",
    "TfliteRuntime",
    "default_runtime",
    "load_model",
]

#: Name given to the only signature of a graph that declares none (microWakeWord's models).
UNNAMED = "serving_default"
_LITERT_UNNAMED = "<placeholder signature>"


# ---- ai-edge-litert -------------------------------------------------------------------------------------------


class LiteRt(Runtime):
    """ai-edge-litert through its CompiledModel."""

    name = "ai-edge-litert"

    def __init__(self) -> None:
        self._compiled = importlib.import_module("ai_edge_litert.compiled_model")
        self.version = importlib.metadata.version("ai-edge-litert")

    def _load(self, path: Path, threads: int, weight_cache: Path | None) -> Model:
        lib = self._compiled
        options = lib.Options(
            hardware_accelerators=lib.HardwareAccelerator.CPU,
            cpu_options=lib.CpuOptions(
                num_threads=threads, xnnpack_weight_cache_path=str(weight_cache) if weight_cache else ""
            ),
        )
        compiled = lib.CompiledModel.from_file(str(path), options=options, environment=self._environment())
        signatures = {
            name: Signature(
                _litert_specs(compiled.get_input_tensor_details(name)),
                _litert_specs(compiled.get_output_tensor_details(name)),
            )
            for name in compiled.get_signature_list()
        }
        return _LiteRtModel(path, self, signatures, compiled)

    def _environment(self) -> Any:
        """One environment a process; without its GPU and NPU plugins, which cost memory and are never used."""
        global _litert_environment
        if _litert_environment is None:
            options = self._compiled.EnvironmentOptions(
                runtime_path=_NOWHERE, compiler_plugin_path=_NOWHERE, dispatch_library_path=_NOWHERE
            )
            _litert_environment = self._compiled.Environment.create(options=options)
        return _litert_environment


_NOWHERE = "/nonexistent"
_litert_environment: Any = None


def _litert_specs(details: Mapping[str, Mapping[str, Any]]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"])) for name, d in details.items()}


class _LiteRtModel(Model):
    def __init__(self, path: Path, runtime: Runtime, signatures: dict[str, Signature], compiled: Any) -> None:
        super().__init__(path, runtime, {UNNAMED if k == _LITERT_UNNAMED else k: v for k, v in signatures.items()})
        self.compiled = compiled

    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        return _LiteRtRunner(self, signature, alias or {}, share)

    def close(self) -> None:
        if self.compiled is not None:
            with captured_stderr():
                self.compiled.close()
                self.compiled = None


class _LiteRtRunner(Runner):
    def __init__(
        self, model: _LiteRtModel, name: str, alias: Mapping[str, str | None], share: Buffers | None
    ) -> None:
        super().__init__(model, name, alias, share)
        self._key = _LITERT_UNNAMED if name == UNNAMED and len(model.signatures) == 1 else name
        compiled = model.compiled
        if compiled is None:
            raise ModelError(f"{model.path}: the model is closed")
        if self._key not in compiled.get_signature_list():
            self._key = name
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        with captured_stderr() as said:
            try:
                for key, spec in self.signature.inputs.items():
                    self._inputs[key] = self._input(compiled, key, spec)
                back = {target: source for source, target in self.alias.items() if target is not None}
                for key in self.signature.outputs:
                    self._outputs[key] = (
                        self._inputs[back[key]]
                        if key in back
                        else compiled.create_output_buffer_by_name(self._key, key)
                    )
            except RuntimeError as error:
                why = explain(str(error), said())
                raise ModelError(f"{self._where}: cannot be prepared: {why}") from None
        # RunByName takes capsules; the dictionaries never change, so they are built once.
        self._in = {key: buffer.capsule for key, buffer in self._inputs.items()}
        self._out = {key: buffer.capsule for key, buffer in self._outputs.items()}
        self._invoke: Callable[[str, dict[str, Any], dict[str, Any]], None] = compiled._model.RunByName

    def _input(self, compiled: Any, key: str, spec: TensorSpec) -> Any:
        if key in self.alias and key in self.state.handles:
            return self.state.handles[key]
        buffer = compiled.create_input_buffer_by_name(self._key, key)
        buffer.write(np.zeros(spec.size, spec.dtype))
        if key in self.alias:
            self.state.handles[key] = buffer
            self.state.specs[key] = spec
        return buffer

    def _write(self, name: str, spec: TensorSpec, value: Array) -> None:
        self._inputs[name].write(value)

    def _read(self, name: str, spec: TensorSpec) -> Array:
        values: Array = self._outputs[name].read(spec.size, spec.dtype)
        return values.reshape(spec.shape)

    def _read_state(self, name: str, spec: TensorSpec) -> Array:
        values: Array = self._inputs[name].read(spec.size, spec.dtype)
        return values.reshape(spec.shape)

    def _run(self) -> None:
        self._invoke(self._key, self._in, self._out)


# ---- tflite-runtime -------------------------------------------------------------------------------------------


class TfliteRuntime(Runtime):
    """tflite-runtime through its Interpreter; `module` is injectable because others ship the same class."""

    name = "tflite-runtime"

    def __init__(self, module: str = "tflite_runtime.interpreter", package: str = "tflite-runtime") -> None:
        self._interpreter = importlib.import_module(module)
        self.version = importlib.metadata.version(package)

    def _load(self, path: Path, threads: int, weight_cache: Path | None) -> Model:
        # _interpreter is the wrapper that knows subgraphs; the public class runs signatures only by resizing
        # and reallocating at every call.
        wrapper = self._interpreter.Interpreter(model_path=str(path), num_threads=threads)._interpreter
        tables: dict[str, _Tensors] = {}
        definitions = wrapper.GetSignatureDefs()
        for name, entry in definitions.items():
            graph = int(wrapper.GetSubgraphIndexFromSignature(name))
            tables[name] = _Tensors(graph, dict(entry["inputs"]), dict(entry["outputs"]))
        if not tables:
            tables[UNNAMED] = _Tensors(
                0,
                {str(wrapper.TensorName(int(i), 0)): int(i) for i in wrapper.InputIndices()},
                {str(wrapper.TensorName(int(i), 0)): int(i) for i in wrapper.OutputIndices()},
            )
        for table in tables.values():
            wrapper.AllocateTensors(table.graph)
        signatures = {
            name: Signature(
                _interpreter_specs(wrapper, table.graph, table.inputs),
                _interpreter_specs(wrapper, table.graph, table.outputs),
            )
            for name, table in tables.items()
        }
        return _InterpreterModel(path, self, signatures, wrapper, tables)


@dataclass(frozen=True)
class _Tensors:
    """Where a signature's tensors are: subgraph, and tensor index by name."""

    graph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


def _interpreter_specs(wrapper: Any, graph: int, tensors: Mapping[str, int]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            tuple(int(n) for n in wrapper.TensorSize(index, graph)), np.dtype(wrapper.TensorType(index, graph))
        )
        for name, index in tensors.items()
    }


class _InterpreterModel(Model):
    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        signatures: dict[str, Signature],
        wrapper: Any,
        tables: dict[str, _Tensors],
    ) -> None:
        super().__init__(path, runtime, signatures)
        self.wrapper = wrapper
        self.tables = tables

    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        return _InterpreterRunner(self, signature, alias or {}, share)

    def close(self) -> None:
        self.wrapper = None


class _InterpreterRunner(Runner):
    """State lives in the input tensors of the runner that ran last (`Buffers.home`) and moves on a switch."""

    model: _InterpreterModel

    def __init__(
        self, model: _InterpreterModel, name: str, alias: Mapping[str, str | None], share: Buffers | None
    ) -> None:
        super().__init__(model, name, alias, share)
        if model.wrapper is None:
            raise ModelError(f"{model.path}: the model is closed")
        self._wrapper = model.wrapper
        self._tensors = model.tables[name]
        for key in self.signature.inputs:
            self._input_view(key)[...] = 0
        self.state.specs.update({key: self.signature.inputs[key] for key in self.alias})
        if self.state.home is None:
            self.state.home = self

    def _view(self, index: int) -> Array:
        """The tensor's own memory; taken anew at every use because an allocation may move it."""
        view: Array = self._wrapper.tensor(self._wrapper, index, self._tensors.graph)
        return view

    def _input_view(self, name: str) -> Array:
        return self._view(self._tensors.inputs[name])

    def _take_state(self) -> None:
        home = self.state.home
        if home is not self and home is not None:
            for name in self.alias:
                if name in home.alias:
                    np.copyto(self._input_view(name), home._input_view(name))
            self.state.home = self

    def _write(self, name: str, spec: TensorSpec, value: Array) -> None:
        if name in self.alias:
            self._take_state()
        self._input_view(name)[...] = value

    def _read(self, name: str, spec: TensorSpec) -> Array:
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


# ---- choosing and loading -------------------------------------------------------------------------------------

_chosen: Runtime | None = None


def default_runtime() -> Runtime:
    """ai-edge-litert, or tflite-runtime where that is what is installed; ModelError when neither is."""
    global _chosen
    if _chosen is None:
        reasons = []
        for candidate in (LiteRt, TfliteRuntime):
            try:
                _chosen = candidate()
                return _chosen
            except ImportError as error:
                reasons.append(f"{candidate.name}: {one_line(str(error))}")
        raise ModelError("no TFLite runtime can be imported: " + "; ".join(reasons), "pip install ai-edge-litert")
    return _chosen


def load_model(path: Path | str, *, threads: int = 1, weight_cache: Path | None = None) -> Model:
    """`Runtime.load_model` of the default runtime."""
    return default_runtime().load_model(path, threads=threads, weight_cache=weight_cache)
