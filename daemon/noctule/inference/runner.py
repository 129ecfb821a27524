"""What every TFLite runtime looks like from above: specs, state, Runner, Model, Runtime. Imports no runtime.

Reached through `noctule.inference.runtime`, whose docstring explains state and sharing.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.core.native_stderr import captured_stderr, explain, one_line
from noctule.inference.tflite_file import check_tflite

Array = NDArray[Any]
#: Name given to the only signature of a graph that declares none (microWakeWord's models).
UNNAMED = "serving_default"


@dataclass(frozen=True)
class TensorSpec:
    """Shape (all dimensions known) and element type of one input or output."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


@dataclass(frozen=True)
class Signature:
    """One entry point of a graph: its inputs and outputs by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclass
class Buffers:
    """State tensors by name, owned by no single runner. Opaque to callers: hand it to `Model.runner(share=…)`."""

    specs: dict[str, TensorSpec] = field(default_factory=dict)
    handles: dict[str, Any] = field(default_factory=dict)  # LiteRT TensorBuffers
    home: Any = None  # Interpreter: whose input tensors hold the state now


class Runner(abc.ABC):
    """One signature with its buffers, ready to run."""

    def __init__(self, model: Model, name: str, alias: Mapping[str, str | None], share: Buffers | None) -> None:
        self.name = name
        self.model = model
        self.signature = model.signature(name)
        self.alias = dict(alias)
        self.state = Buffers() if share is None else share
        self._where = f"{model.path}: signature {name!r}"
        self._check_alias()
        # State is read by the name of the input or of the output that replaces it.
        self._sources = {target: source for source, target in self.alias.items() if target is not None}
        self._sources.update({source: source for source in self.alias})

    def _check_alias(self) -> None:
        if self.state.specs and set(self.state.specs) != set(self.alias):
            odd = sorted(set(self.state.specs) ^ set(self.alias))
            raise ModelError(f"{self._where}: shares state, but of other tensors: {', '.join(odd)}")
        for source, target in self.alias.items():
            spec = self.signature.inputs.get(source)
            if spec is None:
                raise ModelError(f"{self._where}: has no input {source!r} to keep state in")
            held = self.state.specs.get(source, spec)
            if held != spec:
                raise ModelError(f"{self._where}: shared state {source!r} is {held}, the graph wants {spec}")
            if target is not None and self.signature.outputs.get(target) != spec:
                found = self.signature.outputs.get(target, "missing")
                raise ModelError(f"{self._where}: state {source!r} is {spec} but its output {target!r} is {found}")

    def write(self, name: str, value: Array) -> None:
        """Set an input. `value` must have the input's exact shape and dtype."""
        spec = self.signature.inputs.get(name)
        if spec is None:
            raise ModelError(f"{self._where}: has no input {name!r}")
        if value.shape != spec.shape or value.dtype != spec.dtype:
            raise ModelError(f"{self._where}: input {name!r} is {spec}, got {value.dtype.name}{list(value.shape)}")
        self._write(name, spec, value)

    def read(self, name: str) -> Array:
        """A copy of an output, or of a state input; shaped as declared."""
        source = self._sources.get(name)
        if source is not None:
            return self._read_state(source, self.signature.inputs[source])
        if name in self.signature.outputs:
            return self._read(name, self.signature.outputs[name])
        raise ModelError(f"{self._where}: has no output {name!r}")

    def zero(self, name: str) -> None:
        """Set an input to zeros."""
        spec = self.signature.inputs.get(name)
        if spec is None:
            raise ModelError(f"{self._where}: has no input {name!r}")
        self._write(name, spec, np.zeros(spec.shape, spec.dtype))

    def zero_state(self) -> None:
        """Set every state input to zeros."""
        for name in self.alias:
            self.zero(name)

    def run(self) -> None:
        """Run the signature once on what the inputs hold."""
        try:
            self._run()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{self._where}: failed to run: {one_line(str(error))}") from None

    @abc.abstractmethod
    def _write(self, name: str, spec: TensorSpec, value: Array) -> None: ...

    @abc.abstractmethod
    def _read(self, name: str, spec: TensorSpec) -> Array: ...

    @abc.abstractmethod
    def _read_state(self, name: str, spec: TensorSpec) -> Array: ...

    @abc.abstractmethod
    def _run(self) -> None: ...


class Model(abc.ABC):
    """A loaded graph. `close()` (or leaving a `with`) frees it; its runners must not be used afterwards."""

    def __init__(self, path: Path, runtime: Runtime, signatures: dict[str, Signature]) -> None:
        self.path = path
        self.runtime = runtime
        self.signatures = signatures

    def signature(self, name: str) -> Signature:
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures)) or "none"
            raise ModelError(f"{self.path}: has no signature {name!r} (it has: {known})")
        return self.signatures[name]

    @abc.abstractmethod
    def runner(
        self, signature: str, *, alias: Mapping[str, str | None] | None = None, share: Buffers | None = None
    ) -> Runner:
        """Buffers and state for one signature; see the module's docstring for `alias` and `share`."""

    @abc.abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Runtime(abc.ABC):
    """An installed runtime."""

    name: str
    version: str
    #: what its owner should know of this release on this machine; "" for nothing.
    caveat: str = ""

    @property
    def title(self) -> str:
        """Name and version, and what should be known of it."""
        return f"{self.name} {self.version}" + (f" ({self.caveat})" if self.caveat else "")

    def load_model(self, path: Path | str, *, threads: int = 1, weight_cache: Path | None = None) -> Model:
        """Load a .tflite file.

        `threads`: threads of the matrix kernels. `weight_cache`: a *file* in which XNNPACK keeps its repacked
        weights, so that signatures and restarts share them; it belongs to exactly one model file (name it after
        the sha256). Ignored by tflite-runtime, which has no such cache.
        """
        path = Path(path)
        check_tflite(path)
        if threads < 1:
            raise ModelError(f"{path}: cannot run on {threads} threads", "use 1 or more")
        if weight_cache is not None:
            if weight_cache.is_dir():
                raise ModelError(f"{weight_cache}: the weight cache must be a file, this is a folder")
            if not os.access(weight_cache.parent, os.W_OK):
                raise ModelError(f"{weight_cache.parent}: the weight cache cannot be written there")
        with captured_stderr() as said:
            try:
                return self._load(path, threads, weight_cache)
            except (RuntimeError, ValueError, UnicodeDecodeError) as error:
                why = explain(str(error), said())
                raise ModelError(f"{path}: {self.name} {self.version} cannot load the model: {why}") from None

    @abc.abstractmethod
    def _load(self, path: Path, threads: int, weight_cache: Path | None) -> Model: ...
