"""LiteRT's CompiledModel by its C interface (libLiteRt.so, which the ai-edge-litert wheel carries).

Why not its Python class: that one holds the interpreter lock for the whole of a run and of a load, so a language
model's prefill would stop the thread that hears the microphone for a tenth of a second (measured: a thread that
naps for 0.5 ms woke 17 times a second beside it, 1,238 times beside this). Calls through ctypes release the lock.
The buffers' memory is also seen directly: logits are copied once, and the wrapper's 20 MB are saved.

The interface is versioned by symbol (VERS_1.0) but young, so `tflite.LiteRt` uses it only with releases it was
tested on and the Python class with others. Structures and calls after litert/c/*.h of google-ai-edge/LiteRT.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from collections.abc import Mapping
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from noctule.core.errors import ModelError
from noctule.core.native_stderr import captured_stderr, close_stderr_at_exit, explain
from noctule.inference.litert import LITERT_UNNAMED
from noctule.inference.runner import UNNAMED, Array, Buffers, Model, Runner, Runtime, Signature, TensorSpec

_CPU, _HOST_MEMORY, _READ_WRITE = 1, 1, 2  # accelerator set, buffer type, lock mode
#: LiteRtElementType, which has TFLite's numbers
_DTYPES = {
    1: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float16",
    11: "float64", 16: "uint32", 17: "uint16",
}  # fmt: skip


class _Layout(Structure):
    """LiteRtLayout, 68 bytes."""

    _fields_ = [("rank_and_flags", c_uint32), ("dimensions", c_int32 * 8), ("strides", c_uint32 * 8)]


class _TensorType(Structure):
    """LiteRtRankedTensorType, 72 bytes."""

    _fields_ = [("element", c_int), ("layout", _Layout)]


class Library:
    """libLiteRt.so, and the one environment this process has."""

    def __init__(self, path: Path) -> None:
        """OSError when the library cannot be loaded, AttributeError when it lacks a function."""
        self._lib = ctypes.CDLL(str(path))
        self._libc = ctypes.CDLL(None)
        self._libc.strdup.restype = c_void_p
        self._run = self._lib.LiteRtRunCompiledModel
        self._run.restype = c_int
        self._run.argtypes = [c_void_p, c_size_t, c_size_t, c_void_p, c_size_t, c_void_p]
        self.environment = self.make("LiteRtCreateEnvironment", c_int(0), None)
        close_stderr_at_exit()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a LiteRtStatus; RuntimeError unless it is Ok."""
        function = getattr(self._lib, name)
        function.restype = c_int
        status = function(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} failed with status {status}")

    def call_void(self, name: str, handle: c_void_p) -> None:
        """Call a function that returns nothing."""
        function = getattr(self._lib, name)
        function.restype = None
        function(handle)

    def make(self, name: str, *arguments: Any) -> c_void_p:
        """Call a function whose last argument receives a handle."""
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        return handle

    def own(self, owner: object, *destroy: Any) -> None:
        """Destroy handles when `owner` is collected: name of a function, handle, name, handle…, in this order.

        Not at exit, when the library may be gone already.
        """
        pairs = [(name, c_void_p(handle.value)) for name, handle in zip(destroy[::2], destroy[1::2], strict=True)]

        def free() -> None:
            for name, handle in pairs:
                self.call_void(name, handle)

        weakref.finalize(owner, free).atexit = False

    def count(self, name: str, *arguments: Any) -> int:
        number = c_size_t()
        self.call(name, *arguments, byref(number))
        return number.value

    def text(self, name: str, *arguments: Any) -> str:
        found = c_char_p()
        self.call(name, *arguments, byref(found))
        return (found.value or b"").decode("utf-8", "replace")

    def options(self, threads: int, weight_cache: Path | None) -> c_void_p:
        """Options for the CPU; the caller destroys them. XNNPACK's are a TOML text."""
        toml = f"num_threads = {threads}\n"
        if weight_cache is not None:
            toml += f"weight_cache_file_path = {json.dumps(str(weight_cache), ensure_ascii=False)}\n"
        options = self.make("LiteRtCreateOptions")
        self.call("LiteRtSetOptionsHardwareAccelerators", options, c_int(_CPU))
        text = c_void_p(self._libc.strdup(c_char_p(toml.encode())))
        xnnpack = self.make("LiteRtCreateOpaqueOptions", b"xnnpack", text, ctypes.cast(self._libc.free, c_void_p))
        self.call("LiteRtAddOpaqueOptions", options, xnnpack)
        return options

    def run(self, compiled: c_void_p, signature: int, inputs: Any, outputs: Any) -> int:
        """LiteRtRunCompiledModel; the interpreter lock is released meanwhile."""
        status: int = self._run(compiled, signature, len(inputs), inputs, len(outputs), outputs)
        return status


class _Compiled:
    """A compiled model with all it stands on; freed with the last runner or model that holds it."""

    def __init__(self, library: Library, path: Path, threads: int, weight_cache: Path | None) -> None:
        self.library = library
        self.lock = threading.Lock()
        self.model = library.make("LiteRtCreateModelFromFile", library.environment, os.fsencode(path))
        options = library.options(threads, weight_cache)
        try:
            self.handle = library.make("LiteRtCreateCompiledModel", library.environment, self.model, options)
        except RuntimeError:
            library.call_void("LiteRtDestroyModel", self.model)
            raise
        finally:
            library.call_void("LiteRtDestroyOptions", options)
        library.own(self, "LiteRtDestroyCompiledModel", self.handle, "LiteRtDestroyModel", self.model)


class _Buffer:
    """A tensor buffer in host memory and the array that sees it."""

    def __init__(self, compiled: _Compiled, kind: str, signature: int, index: int, tensor: _TensorType) -> None:
        library = compiled.library
        self._compiled = compiled
        where = f"LiteRtGetCompiledModel{kind}BufferRequirements"
        needs = library.make(where, compiled.handle, c_size_t(signature), c_size_t(index))
        self.handle = library.make(
            "LiteRtCreateManagedTensorBufferFromRequirements", library.environment, byref(tensor), needs
        )
        library.own(self, "LiteRtDestroyTensorBuffer", self.handle)
        buffer_type = c_int()
        library.call("LiteRtGetTensorBufferType", self.handle, byref(buffer_type))
        if buffer_type.value != _HOST_MEMORY:
            raise RuntimeError(f"a buffer of type {buffer_type.value} is not in host memory")
        address = c_void_p()
        library.call("LiteRtLockTensorBuffer", self.handle, byref(address), c_int(_READ_WRITE))
        library.call("LiteRtUnlockTensorBuffer", self.handle)  # of host memory a lock only tells the address
        spec = _spec(tensor)
        raw = np.ctypeslib.as_array(ctypes.cast(address, POINTER(c_uint8)), (spec.size * spec.dtype.itemsize,))
        self.view: Array = raw.view(spec.dtype).reshape(spec.shape)
        self.view[...] = 0


def _spec(tensor: _TensorType) -> TensorSpec:
    rank = tensor.layout.rank_and_flags & 0x7F
    shape = tuple(int(n) for n in tensor.layout.dimensions[:rank])
    if tensor.element not in _DTYPES or any(n < 0 for n in shape):
        raise RuntimeError(f"a tensor has an unknown size or type (element {tensor.element}, shape {list(shape)})")
    return TensorSpec(shape, np.dtype(_DTYPES[tensor.element]))


class _Entry:
    """A signature: its number, and the type of each input and output in the order of the graph."""

    def __init__(self, library: Library, model: c_void_p, number: int) -> None:
        self.number = number
        signature = library.make("LiteRtGetModelSignature", model, c_size_t(number))
        self.key = library.text("LiteRtGetSignatureKey", signature)
        self.inputs = self._tensors(library, signature, "Input")
        self.outputs = self._tensors(library, signature, "Output")

    def _tensors(self, library: Library, signature: c_void_p, side: str) -> dict[str, _TensorType]:
        tensors = {}
        for i in range(library.count(f"LiteRtGetNumSignature{side}s", signature)):
            name = library.text(f"LiteRtGetSignature{side}Name", signature, c_size_t(i))
            tensor = library.make(f"LiteRtGetSignature{side}TensorByIndex", signature, c_size_t(i))
            tensors[name] = _TensorType()
            library.call("LiteRtGetRankedTensorType", tensor, byref(tensors[name]))
        return tensors


def open_native(library: Library, runtime: Runtime, path: Path, threads: int, weight_cache: Path | None) -> Model:
    """Load a model; RuntimeError when the library refuses."""
    compiled = _Compiled(library, path, threads, weight_cache)
    entries = {}
    for number in range(library.count("LiteRtGetNumModelSignatures", compiled.model)):
        entry = _Entry(library, compiled.model, number)
        entries[UNNAMED if entry.key == LITERT_UNNAMED else entry.key] = entry
        if number == 0:
            # Makes the runtime prepare this graph now, so that an unknown operation is told of at load. Preparing
            # all of them would cost memory for context buckets that may never be used.
            layouts = (_Layout * max(1, len(entry.outputs)))()
            where = "LiteRtGetCompiledModelOutputTensorLayouts"
            library.call(where, compiled.handle, c_size_t(0), c_size_t(len(entry.outputs)), layouts, c_bool(True))
    signatures = {
        name: Signature({k: _spec(t) for k, t in e.inputs.items()}, {k: _spec(t) for k, t in e.outputs.items()})
        for name, e in entries.items()
    }
    return NativeModel(path, runtime, signatures, compiled, entries)


class NativeModel(Model):
    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        signatures: dict[str, Signature],
        compiled: _Compiled,
        entries: dict[str, _Entry],
    ) -> None:
        super().__init__(path, runtime, signatures)
        self.compiled: _Compiled | None = compiled
        self.entries = entries

    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        return NativeRunner(self, signature, alias or {}, share)

    def close(self) -> None:
        with captured_stderr():
            self.compiled = None


class NativeRunner(Runner):
    def __init__(self, model: NativeModel, name: str, alias: Mapping[str, str | None], share: Buffers | None) -> None:
        super().__init__(model, name, alias, share)
        if model.compiled is None:
            raise ModelError(f"{model.path}: the model is closed")
        self._compiled = model.compiled
        self._entry = model.entries[name]
        with captured_stderr() as said:
            try:
                self._inputs = {
                    key: self._input(i, key, tensor) for i, (key, tensor) in enumerate(self._entry.inputs.items())
                }
                back = {target: source for source, target in self.alias.items() if target is not None}
                self._outputs = {
                    key: self._inputs[back[key]] if key in back else self._new("Output", i, tensor)
                    for i, (key, tensor) in enumerate(self._entry.outputs.items())
                }
            except RuntimeError as error:
                why = explain(str(error), said())
                raise ModelError(f"{self._where}: cannot be prepared: {why}") from None
        self._in = _handles(self._inputs)
        self._out = _handles(self._outputs)

    def _new(self, kind: str, index: int, tensor: _TensorType) -> _Buffer:
        return _Buffer(self._compiled, kind, self._entry.number, index, tensor)

    def _input(self, index: int, key: str, tensor: _TensorType) -> _Buffer:
        if key in self.alias and key in self.state.handles:
            shared: _Buffer = self.state.handles[key]
            return shared
        buffer = self._new("Input", index, tensor)
        if key in self.alias:
            self.state.handles[key] = buffer
            self.state.specs[key] = _spec(tensor)
        return buffer

    def _write(self, name: str, spec: TensorSpec, value: Array) -> None:
        self._inputs[name].view[...] = value

    def _read(self, name: str, spec: TensorSpec) -> Array:
        return np.array(self._outputs[name].view)

    def _read_state(self, name: str, spec: TensorSpec) -> Array:
        return np.array(self._inputs[name].view)

    def _run(self) -> None:
        compiled = self._compiled
        if not compiled.lock.acquire(blocking=False):
            raise RuntimeError("the model is being run by another thread")
        try:
            status = compiled.library.run(compiled.handle, self._entry.number, self._in, self._out)
        finally:
            compiled.lock.release()
        if status != 0:
            raise RuntimeError(f"the runtime answered with status {status}")


def _handles(buffers: Mapping[str, _Buffer]) -> Any:
    return (c_void_p * len(buffers))(*[buffer.handle.value for buffer in buffers.values()])
