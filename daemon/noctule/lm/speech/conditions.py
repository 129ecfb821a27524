"""What a speech model is told once for a whole conversation: a speaker's voice, a style, a guidance strength.

The package's `condition` signature turns the raw conditions into tensors that the temporal transformer takes at every
step: `condition_sum` (added to the embeddings) and `cross_k_i`, `cross_v_i` (attended to). Package contract:
docs/speech-package.md; source: `moshi/conditioners` in kyutai-labs/moshi.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.checked_json import JsonNode
from noctule.core.errors import InputError
from noctule.inference.runtime import Model

#: attention score of a frame that is not to be seen.
UNUSED = np.float32(-1e9)


@dataclass(frozen=True)
class ConditionInput:
    """name; kind: "lut" (one of `values`, or an index below `bins`) or "tensor" (frames of `dim` numbers); fuse:
    "sum" or "cross"."""

    name: str
    kind: str
    fuse: str
    dim: int
    bins: int
    values: tuple[str, ...] | None


def _input(entry: JsonNode) -> ConditionInput:
    return ConditionInput(
        entry.get("name").text(),
        entry.get("kind").one_of(("lut", "tensor")),
        entry.get("fuse").one_of(("sum", "cross")),
        entry.get("dim").integer(1, 1 << 24),
        entry.get("bins", 0).integer(0, 1 << 24),
        tuple(value.text() for value in entry.get("values", []).items()) or None,
    )


class Conditions:
    """The conditions a model takes, and their tensors."""

    def __init__(self, model: Model, table: JsonNode) -> None:
        self._model = model
        self.frames = table.get("frames", 0).integer(0, 1 << 24)
        self._sum, self._cross = table.get("sum", False).flag(), table.get("cross", False).flag()
        inputs = [_input(entry) for entry in table.get("inputs", []).items()]
        self.inputs = {entry.name: entry for entry in inputs}

    def tensors(self, given: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The constant inputs of `temporal` for these conditions; a condition not given counts as unknown.

        given: for a lut one of its words; for a tensor float32 [n, dim], n up to its frames, or a pair of that and a
        bool [n] that is False where a frame stands for nobody (it is then the model's learnt padding, but is seen).
        """
        unknown = sorted(set(given) - set(self.inputs))
        if unknown:
            known = ", ".join(sorted(self.inputs)) or "none"
            raise InputError(f"the model takes no condition {unknown[0]!r}", f"it takes: {known}")
        if not self._sum and not self._cross:
            return {}
        runner = self._model.runner("condition")
        seen: list[NDArray[np.bool_]] = []
        for entry in self.inputs.values():
            value = given.get(entry.name)
            if entry.kind == "lut":
                runner.write(entry.name, np.asarray([0 if value is None else self._index(entry, value)], np.int32))
                runner.write(f"{entry.name}_mask", np.full((1, 1), value is not None, np.float32))
                continue
            frames, mask, count = self._rows(entry, value, runner.signature.inputs[entry.name].shape)
            runner.write(entry.name, frames)
            runner.write(f"{entry.name}_mask", mask)
            if entry.fuse == "cross":
                seen.append(np.arange(len(mask)) < count)
        runner.run()
        out = {name: runner.read(name) for name in runner.signature.outputs}
        if self._cross:
            visible = np.where(np.concatenate(seen), np.float32(0), UNUSED)
            out["cross_mask"] = visible.astype(np.float32)[None, None, None]
        return out

    @staticmethod
    def _rows(
        entry: ConditionInput, value: Any, shape: tuple[int, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        """Frames [shape], mask [frames, 1], and how many are seen: one of padding when there is no value."""
        frames = np.zeros(shape, np.float32)
        mask = np.zeros((shape[0], 1), np.float32)
        if value is None:
            return frames, mask, 1
        rows, present = value if isinstance(value, tuple) else (value, None)
        rows = np.asarray(rows, np.float32)
        if rows.ndim != 2 or rows.shape[1] != shape[1] or not 1 <= len(rows) <= shape[0]:
            raise InputError(
                f"the condition {entry.name!r} wants up to {shape[0]} rows of {shape[1]} numbers,"
                f" got {list(rows.shape)}"
            )
        if not np.isfinite(rows).all():
            raise InputError(f"the condition {entry.name!r} holds a value that is not a number")
        frames[: len(rows)] = rows
        mask[: len(rows), 0] = 1 if present is None else np.asarray(present, np.float32)
        return frames, mask, len(rows)

    @staticmethod
    def _index(entry: ConditionInput, value: Any) -> int:
        if entry.values is not None:
            if str(value) in entry.values:
                return entry.values.index(str(value))
            raise InputError(
                f"the condition {entry.name!r} cannot be {str(value)!r}", f"choose one of {', '.join(entry.values)}"
            )
        if not isinstance(value, int) or not 0 <= value < entry.bins:
            raise InputError(f"the condition {entry.name!r} is a number from 0 to {entry.bins - 1}, not {value!r}")
        return value
