"""Read a safetensors file one tensor at a time: bf16, f16, f32, and Kyutai's q8 form.

The format is eight bytes of header length, a JSON header, then the data (github.com/huggingface/safetensors,
README). It is read here with numpy alone because numpy has no bfloat16 and because a tensor must never be held
twice. Kyutai's q8 form stores a matrix as int8 `X.weight` with float32 `X.weight_scb`, the largest magnitude of
each row (moshi/utils/quantize.py): value = integer * scb / 127.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noctule.core.errors import InputError

Floats = npt.NDArray[np.float32]

_STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
}


@dataclass(frozen=True)
class Matrix:
    """A linear layer's weight [out, in]: float32 `values`, or int8 `values` with a float32 `scale` per row."""

    values: npt.NDArray[Any]
    scale: Floats | None = None

    def rows(self, order: npt.NDArray[np.int64]) -> Matrix:
        """The rows in another order, or some of them."""
        return Matrix(self.values[order], None if self.scale is None else self.scale[order])

    def times(self, gain: Floats) -> Matrix:
        """Each row multiplied by its gain; exact for an int8 matrix, whose scale takes it."""
        if self.scale is not None:
            return Matrix(self.values, np.asarray(self.scale * gain, np.float32))
        return Matrix(self.values * gain[:, None])

    def floats(self) -> Floats:
        """The values as float32."""
        if self.scale is None:
            return np.asarray(self.values, np.float32)
        return np.asarray(self.values.astype(np.float32) * self.scale[:, None], np.float32)


@dataclass(frozen=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int


class Tensors:
    """The tensors of one safetensors file, by name. Raises InputError naming the file and the tensor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size = path.stat().st_size
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if self.size < 8 or length > min(self.size - 8, 100 << 20):
                    raise InputError(f"{path} is truncated or not a safetensors file")
                header = json.loads(file.read(length))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        except ValueError as error:
            raise InputError(f"{path} is not a safetensors file: its header is not JSON") from error
        if not isinstance(header, dict):
            raise InputError(f"{path} is not a safetensors file: its header is not an object")
        self._base = 8 + length
        self._entries: dict[str, _Entry] = {}
        for name, entry in header.items():
            if name != "__metadata__":
                self._entries[name] = self._entry(name, entry)

    def _entry(self, name: str, entry: Any) -> _Entry:
        try:
            dtype, shape = str(entry["dtype"]), tuple(int(n) for n in entry["shape"])
            start, end = (int(n) for n in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}: the header's entry for {name} is malformed") from error
        width = _STORED[dtype].itemsize if dtype in _STORED else None
        if width is not None and (min(shape, default=1) < 0 or end - start != math.prod(shape) * width or start < 0):
            raise InputError(f"{self.path}: {name} claims {shape} of {dtype} in {end - start} bytes")
        if self._base + end > self.size:
            raise InputError(
                f"{self.path} is truncated: {name} ends at byte {self._base + end} of {self.size}",
                "download the file again",
            )
        return _Entry(dtype, shape, start)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """All tensor names, sorted."""
        return sorted(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as stored."""
        return self._entries[name].shape

    def expect(self, shapes: Mapping[str, tuple[int, ...]], *, ignore: tuple[str, ...] = ()) -> None:
        """Refuse missing, misshapen, mistyped and unknown tensors before any work is done."""
        missing = [name for name in shapes if name not in self._entries]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(f"{self.path} lacks {missing[0]}{more}, which its config asks for")
        for name, shape in shapes.items():
            entry = self._entries[name]
            if entry.dtype not in _STORED:
                raise InputError(f"{self.path}: {name} is of type {entry.dtype}, not bf16, f16, f32 or int8")
            if entry.shape != shape:
                raise InputError(
                    f"{self.path}: {name} has shape {list(entry.shape)}, and its config asks for {list(shape)}"
                )
            if entry.dtype == "I8" and f"{name}_scb" not in shapes:
                raise InputError(f"{self.path}: {name} is int8 without the scales {name}_scb")
        extra = [name for name in self._entries if name not in shapes and not name.startswith(ignore or ("\0",))]
        if extra:
            more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
            raise InputError(f"{self.path} holds {min(extra)}{more}, which its config does not describe")

    def take(self, name: str, first: int = 0, count: int | None = None) -> Floats:
        """Rows `first` … `first + count` (all by default) as float32, checked finite."""
        raw, dtype = self._raw(name, first, count)
        if dtype == "BF16":
            values = (raw.astype(np.uint32) << 16).view(np.float32)
        elif dtype == "I8":
            raise InputError(f"{self.path}: {name} is int8, where floats are expected")
        else:
            values = raw.astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: {name} holds values that are not numbers")
        return values

    def matrix(self, name: str, first: int = 0, count: int | None = None) -> Matrix:
        """Rows of a linear layer's weight, as stored: float32, or int8 with its scales."""
        if self._entries[name].dtype != "I8":
            return Matrix(self.take(name, first, count))
        raw, _ = self._raw(name, first, count)
        return Matrix(raw.astype(np.int8), self.take(f"{name}_scb", first, count) / np.float32(127))

    def _raw(self, name: str, first: int, count: int | None) -> tuple[npt.NDArray[Any], str]:
        if name not in self._entries:
            raise InputError(f"{self.path} lacks {name}, which its config asks for")
        entry = self._entries[name]
        dtype = _STORED[entry.dtype]
        row = math.prod(entry.shape[1:])
        rows = (entry.shape[0] - first if count is None else count) if entry.shape else 1
        if entry.shape and (first < 0 or first + rows > entry.shape[0]):
            raise InputError(f"{self.path}: {name} has {entry.shape[0]} rows, and row {first + rows} is asked for")
        with self.path.open("rb") as file:
            file.seek(self._base + entry.start + first * row * dtype.itemsize)
            data = file.read(rows * row * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape((rows, *entry.shape[1:]) if entry.shape else ()), entry.dtype


def quantise_rows(values: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Symmetric int8, one scale per row: integers in -127..127 and float32 scales."""
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)))
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    shaped = scale.reshape(-1, *[1] * (values.ndim - 1))
    return np.clip(np.rint(values / shaped), -127, 127).astype(np.int8), scale


def quantise_blocks(values: Floats, block: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """int4 in -8..7 with one float16 scale for every `block` columns of a row.

    The scale maps the value of largest magnitude to -8 or 7, whichever side it is on: with only 16 levels the
    extra negative one is worth taking.
    """
    parts = values.reshape(values.shape[0], -1, block)
    low, high = parts.min(axis=2), parts.max(axis=2)
    scale = np.maximum(high / 7, -low / 8)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float16)
    scale = np.maximum(scale, np.float16(6e-5))  # the smallest normal float16
    integers = np.clip(np.rint(parts / scale.astype(np.float32)[..., None]), -8, 7).astype(np.int8)
    return integers.reshape(values.shape), scale
