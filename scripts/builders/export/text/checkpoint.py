"""A checkpoint folder in the Hugging Face layout: config.json, *.safetensors, tokenizer.model.

Reads nothing but numbers: no pickle, no code of the checkpoint. Every problem is an InputError with one sentence.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from noctule.core.checked_json import read_object
from noctule.core.errors import InputError

_FLOATS = {torch.float32, torch.float16, torch.bfloat16, torch.float64}
_HASH_BLOCK = 1 << 20  # bytes read at a time
_LARGEST_JSON = 1 << 26  # an index of a hundred thousand tensors is a fifth of it


def read_json(path: Path) -> dict[str, Any]:
    """The object in one of a checkpoint's JSON files. Raises InputError."""
    if path.parent.is_file():
        raise InputError(f"{path.parent} is a file, expected a checkpoint folder")
    hint = "a checkpoint folder holds config.json, *.safetensors and tokenizer.model"
    return dict(read_object(path, InputError, hint, limit=_LARGEST_JSON))


class Checkpoint:
    """config.json and the tensors of one folder; remembers which tensors were taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_json(folder / "config.json")
        self.files = self._weight_files()
        self._where: dict[str, Path] = {}
        self._taken: set[str] = set()
        for path in self.files:
            try:
                with safe_open(path, "pt") as tensors:
                    for name in tensors.keys():  # noqa: SIM118 - a safe_open handle is no mapping
                        if name in self._where:
                            raise InputError(f"{path.name}: tensor {name} is also in {self._where[name].name}")
                        self._where[name] = path
            except (SafetensorError, OSError) as error:
                raise InputError(
                    f"{path} is not a whole safetensors file: {error}", "it may be truncated; copy it again"
                ) from None

    def _weight_files(self) -> list[Path]:
        index = self.folder / "model.safetensors.index.json"
        if index.exists():
            places = read_json(index).get("weight_map", {})
            if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
                raise InputError(f"{index}: weight_map must give a file's name for each tensor")
            names = sorted(set(places.values()))
            if odd := [name for name in names if Path(name).name != name or name in ("", "..") or "\0" in name]:
                raise InputError(f"{index} names {odd[0]!r}, which is no file in this folder")
            missing = [name for name in names if not (self.folder / name).is_file()]
            if missing or not names:
                raise InputError(f"{index} names {', '.join(missing) or 'no files'}, which the folder lacks")
            return [self.folder / name for name in names]
        single = self.folder / "model.safetensors"
        if single.is_file():
            return [single]
        pickled = sorted(p.name for p in self.folder.glob("*.bin"))
        hint = f"{pickled[0]} is a pickle; convert it to safetensors first" if pickled else ""
        raise InputError(f"{single}: no such file", hint)

    @property
    def names(self) -> list[str]:
        return sorted(self._where)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    def sha256(self) -> str:
        """One digest over config.json and the weight files, in name order."""
        digest = hashlib.sha256()
        for path in [self.folder / "config.json", *self.files]:
            with path.open("rb") as stream:
                while block := stream.read(_HASH_BLOCK):
                    digest.update(block)
        return digest.hexdigest()

    def has(self, name: str) -> bool:
        return name in self._where

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor as float32. It must have `shape`, a float type and finite values."""
        if name not in self._where:
            raise InputError(f"{self.folder}: tensor {name} is missing", "the weights do not fit config.json")
        with safe_open(self._where[name], "pt") as tensors:
            tensor: Tensor = tensors.get_tensor(name)
        if tuple(tensor.shape) != shape:
            raise InputError(
                f"{self.folder}: tensor {name} is {list(tensor.shape)}, config.json makes it {list(shape)}"
            )
        if tensor.dtype not in _FLOATS:
            raise InputError(
                f"{self.folder}: tensor {name} is {tensor.dtype}, expected floating point",
                "quantised checkpoints are not read; export from the original weights",
            )
        tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{self.folder}: tensor {name} holds values that are not finite")
        self._taken.add(name)
        return tensor

    def ignore(self, name: str) -> None:
        self._taken.add(name)

    def leftovers(self) -> list[str]:
        """Tensors nobody took: a sign that config.json describes another model."""
        return sorted(set(self._where) - self._taken)
