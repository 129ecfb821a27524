"""The only door to a TFLite runtime.

Two runtimes are spoken: `ai-edge-litert` (its CompiledModel, by the C interface or, with releases that was not
tested on, the Python class) and `tflite-runtime` (its Interpreter; for systems pinned to it, Python <= 3.11). All
give the same three things:

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

import functools
import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from noctule.core.errors import ModelError
from noctule.core.native_stderr import captured_stderr, explain, one_line
from noctule.inference.interpreter import open_wrapper
from noctule.inference.litert import LiteRtModel, litert_specs
from noctule.inference.litert_native import Library, open_native
from noctule.inference.runner import UNNAMED, Buffers, Model, Runner, Runtime, Signature, TensorSpec

__all__ = [
    "UNNAMED",
    "Buffers",
    "LiteRt",
    "LiteRtNative",
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


class LiteRtNative(Runtime):
    """ai-edge-litert through the C interface of its CompiledModel (`tflite_native` tells why). First choice."""

    name = "ai-edge-litert"

    def __init__(self) -> None:
        package = importlib.util.find_spec("ai_edge_litert")
        if package is None or not package.submodule_search_locations:
            raise ImportError("No module named 'ai_edge_litert'")
        self.version = importlib.metadata.version("ai-edge-litert")
        if not self.version.startswith(_NATIVE_TESTED):
            raise ImportError(f"the C interface of release {self.version} has not been tested")
        self._library = _native_library(Path(package.submodule_search_locations[0]) / "libLiteRt.so")

    def _load(self, path: Path, threads: int, weight_cache: Path | None) -> Model:
        return open_native(self._library, self, path, threads, weight_cache)


#: Releases whose C interface the conformance tests have run on (x86-64 and, by its symbols, aarch64).
_NATIVE_TESTED = ("2.3.",)


@functools.cache
def _native_library(path: Path) -> Library:
    with captured_stderr() as said:
        try:
            return Library(path)
        except (OSError, AttributeError, RuntimeError) as error:
            raise ImportError(explain(str(error), said())) from None


class LiteRt(Runtime):
    """ai-edge-litert through its Python class; it holds the interpreter lock while it runs."""

    name = "ai-edge-litert"

    def __init__(self) -> None:
        self._compiled = importlib.import_module("ai_edge_litert.compiled_model")
        self.version = importlib.metadata.version("ai-edge-litert")
        if not self.version.startswith(_NATIVE_TESTED):
            proven = " and ".join(f"{release}x" for release in _NATIVE_TESTED)
            self.caveat = f"Noctule is proven on {proven}: this one stops the microphone's thread while it computes"

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
    """ai-edge-litert, or tflite-runtime where that is what is installed; ModelError when neither can be used."""
    global _chosen
    if _chosen is None:
        reasons = []
        for candidate in (LiteRtNative, LiteRt, TfliteRuntime):
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
