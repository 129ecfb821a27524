"""ai-edge-litert's CompiledModel behind `tflite_base`. Given the compiled model, imports no runtime.

State: the TensorBuffer of a state input is also bound to the output that replaces it, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noctule.core.errors import ModelError
from noctule.core.native_stderr import captured_stderr, close_stderr_at_exit, explain
from noctule.inference.runner import UNNAMED, Array, Buffers, Model, Runner, Runtime, Signature, TensorSpec

#: What LiteRT calls the only signature of a graph that declares none.
LITERT_UNNAMED = "<placeholder signature>"


def litert_specs(details: Mapping[str, Mapping[str, Any]]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(tuple(int(n) for n in d["shape"]), np.dtype(d["dtype"])) for name, d in details.items()}


class LiteRtModel(Model):
    def __init__(self, path: Path, runtime: Runtime, signatures: dict[str, Signature], compiled: Any) -> None:
        super().__init__(path, runtime, {UNNAMED if k == LITERT_UNNAMED else k: v for k, v in signatures.items()})
        self.compiled = compiled

    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        return LiteRtRunner(self, signature, alias or {}, share)

    def close(self) -> None:
        if self.compiled is not None:
            with captured_stderr():
                self.compiled.close()
                self.compiled = None


class LiteRtRunner(Runner):
    def __init__(self, model: LiteRtModel, name: str, alias: Mapping[str, str | None], share: Buffers | None) -> None:
        super().__init__(model, name, alias, share)
        self._key = LITERT_UNNAMED if name == UNNAMED and len(model.signatures) == 1 else name
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
        close_stderr_at_exit()
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
