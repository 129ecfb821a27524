"""Which tensors a Mimi checkpoint must hold, under the published names and the older ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.export.kyutai.weights import Tensors
from builders.export.mimi.config import Conv, MimiConfig, Residual, decoder_stages, encoder_stages

#: where a codebook's buffers may be called otherwise (moshi/quantization/core_vq.py)
_OLD_NAMES = {
    "cluster_usage": ("cluster_size",),
    "embedding_sum": ("embed_avg", "embed_sum"),
    "_initialized": ("inited",),
}


class MimiCheckpoint:
    """Mimi's weights, checked against a config."""

    def __init__(self, path: Path, config: MimiConfig) -> None:
        self.config, self.tensors = config, Tensors(path)
        self._renamed: dict[str, str] = {}
        self.tensors.expect({self._stored(name): shape for name, shape in expected(config).items()})

    def _stored(self, name: str) -> str:
        head, _, last = name.rpartition(".")
        candidates = [f"{head}.{old}" for old in _OLD_NAMES.get(last, ())]
        if ".in_projs.0." in name:
            attention = name.partition(".in_projs.0.")[0]
            candidates += [f"{attention}.in_proj_weight", f"{attention}.in_proj.weight"]
        if ".out_projs.0." in name:
            candidates.append(name.replace(".out_projs.0.", ".out_proj."))
        for candidate in candidates:
            if candidate in self.tensors:
                self._renamed[name] = candidate
                return candidate
        return name

    def take(self, name: str) -> Any:
        """A tensor as float32, under the reference's name."""
        return self.tensors.take(self._renamed.get(name, name))


def codebook_names(c: MimiConfig) -> list[str]:
    """Prefixes of the codebooks in order: the semantic one, then the residual ones."""
    return [
        "quantizer.rvq_first.vq.layers.0._codebook",
        *(f"quantizer.rvq_rest.vq.layers.{i}._codebook" for i in range(c.codebooks - 1)),
    ]


def expected(c: MimiConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the reference's MimiModel for this config."""
    shapes: dict[str, tuple[int, ...]] = {}
    for stage in [*encoder_stages(c), *decoder_stages(c)]:
        for conv in stage.convs if isinstance(stage, Residual) else [stage] if isinstance(stage, Conv) else []:
            pair = (conv.inputs, conv.outputs) if conv.transposed else (conv.outputs, conv.inputs)
            shapes[f"{conv.name}.weight"] = (*pair, conv.width)
            shapes[f"{conv.name}.bias"] = (conv.outputs,)
    for side in ("encoder", "decoder"):
        for i in range(c.layers):
            p = f"{side}_transformer.transformer.layers.{i}"
            shapes[f"{p}.self_attn.in_projs.0.weight"] = (3 * c.dim, c.dim)
            shapes[f"{p}.self_attn.out_projs.0.weight"] = (c.dim, c.dim)
            for norm in ("norm1", "norm2"):
                shapes[f"{p}.{norm}.weight"] = shapes[f"{p}.{norm}.bias"] = (c.dim,)
            shapes[f"{p}.linear1.weight"], shapes[f"{p}.linear2.weight"] = (c.hidden, c.dim), (c.dim, c.hidden)
            if c.layer_scale:
                shapes[f"{p}.layer_scale_1.scale"] = shapes[f"{p}.layer_scale_2.scale"] = (c.dim,)
    for part in ("rvq_first", "rvq_rest"):
        shapes[f"quantizer.{part}.input_proj.weight"] = (c.code_dim, c.dim, 1)
        shapes[f"quantizer.{part}.output_proj.weight"] = (c.dim, c.code_dim, 1)
    for name in codebook_names(c):
        shapes[f"{name}._initialized"], shapes[f"{name}.cluster_usage"] = (1,), (c.card,)
        shapes[f"{name}.embedding_sum"] = (c.card, c.code_dim)
    shapes["downsample.conv.conv.conv.weight"] = (c.dim, c.dim, 2 * c.steps)
    shapes["upsample.convtr.convtr.convtr.weight"] = (c.dim, 1, 2 * c.steps)
    return shapes
