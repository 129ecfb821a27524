"""The weights of a Moonshine model under the names that `transformers` gives them, and their way into int8.

A published tiny model is quantised already: every matrix lies on one 8-bit grid with a zero point that is not zero,
so its integers reach ±171 and do not fit int8. A row that stays within ±127 keeps its integers and the grid's step,
exactly; only the others are rounded again, each with a step of its own. Rounding every row anew costs a point of word
error for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from builders.export.moonshine.config import MoonshineConfig
from noctule.core.errors import InputError

Floats = npt.NDArray[np.float32]
Precision = Literal["int8", "float32"]

EMBEDDING = "model.decoder.embed_tokens.weight"
#: convolutions that are matrices in the graph; the first one stays float32 (its input is the sound itself)
ON_GRID = ("model.encoder.conv2.weight", "model.encoder.conv3.weight")


@dataclass(frozen=True)
class Grid:
    """A matrix as integers times one step."""

    integers: npt.NDArray[np.int32]
    step: float


@dataclass
class Weights:
    """Tensors by name: float32 all of them, and the grid of those that came quantised."""

    config: MoonshineConfig
    floats: dict[str, Floats] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)

    def take(self, name: str) -> Floats:
        """A tensor as float32. Raises InputError when the source lacks it."""
        if name not in self.floats:
            raise InputError(f"the model's weights lack {name}")
        return self.floats[name]

    def rows(self, name: str) -> tuple[npt.NDArray[np.int8], Floats]:
        """A matrix [out, in] as int8 with a scale a row, on its own grid wherever a row fits."""
        grid = self.grids.get(name)
        if grid is None:
            values = self.take(name)
            return _rounded(values.reshape(len(values), -1))
        return grid_rows(grid)


def grid_rows(grid: Grid) -> tuple[npt.NDArray[np.int8], Floats]:
    """int8 and a scale a row: the integers themselves where they fit, else the row rounded again."""
    largest = np.abs(grid.integers).max(axis=1)
    factor = np.where(largest > 127, 127.0 / np.maximum(largest, 1), 1.0)
    integers = np.rint(grid.integers * factor[:, None]).astype(np.int8)
    return integers, (grid.step / factor).astype(np.float32)


def find_grid(values: Floats) -> Grid | None:
    """The grid that float32 values lie on, or None: the published convolutions were rounded and stored as floats."""
    levels = np.unique(values)
    if len(levels) > 512:
        return None
    gaps = np.diff(levels)
    step = float(gaps[gaps > 1e-6].min()) if (gaps > 1e-6).any() else 0.0
    if step <= 0:
        return None
    counts = np.rint(values / step)
    step = float((values * counts).sum() / (counts * counts).sum())
    counts = np.rint(values / step)
    if float(np.abs(values - counts * step).max()) > 1e-4 * float(np.abs(values).max()):
        return None
    return Grid(counts.astype(np.int32), step)


def _rounded(values: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    largest = np.abs(values).max(axis=1)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    return np.clip(np.rint(values / scale[:, None]), -127, 127).astype(np.int8), scale
