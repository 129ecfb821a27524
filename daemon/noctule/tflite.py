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
from pathlib import Path
from typing import Any

from noctule.errors import ModelError
from noctule.native_stderr import one_line
from noctule.tflite_base import UNNAMED, Buffers, Model, Runner, Runtime, Signature, TensorSpec
from noctule.tflite_interpreter import open_wrapper
from noctule.tflite_litert import LiteRtModel, litert_specs

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
                litert_specs(compiled.get_input_tensor_details(name)),
                litert_specs(compiled.get_output_tensor_details(name)),
            )
            for name in compiled.get_signature_list()
        }
        return LiteRtModel(path, self, signatures, compiled)

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


# ---- tflite-runtime -------------------------------------------------------------------------------------------


class TfliteRuntime(Runtime):
    """tflite-runtime through its Interpreter; `module` is injectable because others ship the same class."""

    name = "tflite-runtime"

    def __init__(self, module: str = "tflite_runtime.interpreter", package: str = "tflite-runtime") -> None:
        self._interpreter = importlib.import_module(module)
        self.version = importlib.metadata.version(package)

    def _load(self, path: Path, threads: int, weight_cache: Path | None) -> Model:
        wrapper = self._interpreter.Interpreter(model_path=str(path), num_threads=threads)._interpreter
        return open_wrapper(path, self, wrapper)


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
