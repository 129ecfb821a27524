"""What conditions a whole generation (speaker, quality, guidance), as one graph run once per conversation.

`condition`: for a lut conditioner `{name}` int32 [1] (index of the value; `bins` when absent) and `{name}_mask`
float32 [1, 1] (1 when present); for a tensor conditioner `{name}` float32 [F, dim] and `{name}_mask` [F, 1]; out
come `condition_sum` [1, dim] and per layer `cross_k_i` [1, H, F, D], `cross_v_i` [1, H, D, F].
Reference: moshi/conditioners/base.py (BaseConditioner.forward, ConditionFuser).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.config import Conditioner, KyutaiConfig
from builders.export.kyutai.layers import Precision
from builders.export.kyutai.weights import Floats
from builders.tflite.writer import Graph, Model, Tensor, Weight


@dataclass(frozen=True)
class Input:
    """One conditioner's stored weights; small, so kept in float32."""

    conditioner: Conditioner
    table: Weight | None
    project: Weight | None
    padding: Weight | None


@dataclass(frozen=True)
class Conditions:
    """All conditioners and, per layer, the projection to cross-attention keys and values."""

    config: KyutaiConfig
    inputs: tuple[Input, ...]
    project: tuple[tuple[Weight, Weight], ...]

    def graph(self, model: Model, frames: int) -> Graph:
        """Add `condition`; `frames` is the number of cross-attention frames of each tensor conditioner."""
        g = model.graph("condition")
        sums: list[Tensor] = []
        crosses: list[Tensor] = []
        for entry in self.inputs:
            (sums if entry.conditioner.fuse == "sum" else crosses).append(self._embed(g, entry, frames))
        if sums:
            total = sums[0]
            for part in sums[1:]:
                total = g.add(total, part)
            g.output("condition_sum", total if len(sums) > 1 else g.add(total, g.floats([0.0])))
        if crosses:
            self._keys(g, g.concat(crosses, 0) if len(crosses) > 1 else crosses[0])
        return g

    @staticmethod
    def _embed(g: Graph, entry: Input, frames: int) -> Tensor:
        conditioner = entry.conditioner
        if conditioner.kind == "lut":
            assert entry.table is not None
            value = g.lookup(g.input(conditioner.name, [1], "int32"), entry.table)
            mask = g.input(f"{conditioner.name}_mask", [1, 1])
        else:
            value = g.input(conditioner.name, [frames, conditioner.dim])
            mask = g.input(f"{conditioner.name}_mask", [frames, 1])
        value = value if entry.project is None else g.linear(value, entry.project)
        value = g.mul(value, mask)
        if entry.padding is None:
            return value
        return g.add(value, g.mul(g.sub(g.floats([1.0]), mask), g.weight(entry.padding)))

    def _keys(self, g: Graph, source: Tensor) -> None:
        c, frames = self.config, source.shape[0]
        if c.cross_positions:
            source = g.add(source, g.floats(c.cross_positions * sin_positions(frames, c.dim)))
        for i, (key, value) in enumerate(self.project):
            keys = g.reshape(g.linear(source, key), [1, frames, c.heads, c.head_dim])
            values = g.reshape(g.linear(source, value), [1, frames, c.heads, c.head_dim])
            g.output(f"cross_k_{i}", g.transpose(keys, [0, 2, 1, 3]))
            g.output(f"cross_v_{i}", g.transpose(values, [0, 2, 3, 1]))


def sin_positions(frames: int, dim: int) -> Floats:
    """[frames, dim] of cos then sin, period 10000 (moshi/modules/transformer.py, create_sin_embedding)."""
    half = dim // 2
    steps = np.arange(half, dtype=np.float32) / np.float32(half - 1)
    phase = np.arange(frames, dtype=np.float32)[:, None] / np.float32(10000) ** steps[None]
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)


def load_conditions(model: Model, checkpoint: Checkpoint, precision: Precision) -> Conditions:
    """Read and store the conditioners and the cross-attention projections of every layer."""
    c = checkpoint.config
    inputs = []
    for entry in c.conditioners:
        p = f"condition_provider.conditioners.{entry.name}"
        inputs.append(
            Input(
                entry,
                model.add(checkpoint.floats(f"{p}.embed.weight"), f"{p}.embed") if entry.kind == "lut" else None,
                model.add(checkpoint.matrix(f"{p}.output_proj.weight").floats(), p) if entry.projected else None,
                model.add(checkpoint.floats(f"{p}.learnt_padding").reshape(1, -1), f"{p}.learnt_padding")
                if entry.learnt_padding
                else None,
            )
        )
    project = []
    for i in range(c.layers if c.cross_attention else 0):
        matrix = checkpoint.matrix(f"transformer.layers.{i}.cross_attention.in_projs.0.weight")
        key, value = (matrix.rows(np.arange(n * c.dim, (n + 1) * c.dim, dtype=np.int64)) for n in (1, 2))
        project.append(
            (
                precision.matrix(model, key, f"transformer.layers.{i}.cross.key"),
                precision.matrix(model, value, f"transformer.layers.{i}.cross.value"),
            )
        )
    return Conditions(c, tuple(inputs), tuple(project))
