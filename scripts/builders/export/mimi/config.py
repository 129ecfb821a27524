"""Mimi's configuration: the reference's own values (moshi/models/loaders.py, `_mimi_config`) or a JSON file like it.

Kyutai publishes Mimi without a config file; every width here is checked against the weights, so a Mimi of another
shape is refused by the tensor that differs. Heads, context and rates cannot be seen in the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from noctule.core.checked_json import JsonNode, read_object
from noctule.core.errors import InputError

#: the largest whole number a setting may be
MOST = 1 << 24

REFERENCE: dict[str, Any] = {
    "sample_rate": 24000,
    "channels": 1,
    "frame_rate": 12.5,
    "seanet": {
        "channels": 1,
        "dimension": 512,
        "causal": True,
        "n_filters": 64,
        "n_residual_layers": 1,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "disable_norm_outer_blocks": 0,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [8, 6, 5, 4],
        "true_skip": True,
    },
    "quantizer": {"dimension": 256, "n_q": 32, "bins": 2048, "input_dimension": 512, "output_dimension": 512},
    "transformer": {
        "d_model": 512,
        "num_heads": 8,
        "num_layers": 8,
        "causal": True,
        "layer_scale": 0.01,
        "context": 250,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 2048,
        "input_dimension": 512,
        "output_dimensions": [512],
    },
}
#: values the graph is built for; anything else in a config file is refused by name
_FIXED = {
    "seanet": {
        "channels": 1,
        "causal": True,
        "activation": "ELU",
        "norm": "none",
        "pad_mode": "constant",
        "true_skip": True,
    },
    "transformer": {
        "causal": True,
        "conv_layout": True,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
    },
}


def like_reference(sections: dict[str, Any]) -> dict[str, Any]:
    """The reference with other values here and there: {"sample_rate": 800, "seanet": {"dimension": 8}}."""
    return {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else sections.get(name, value)
        for name, value in REFERENCE.items()
    }


@dataclass(frozen=True)
class MimiConfig:
    """Everything the codec graphs need. `ratios` are the decoder's, coarse to fine; samples a frame follow."""

    sample_rate: int
    frame_rate: float
    dim: int
    filters: int
    ratios: tuple[int, ...]
    residual_layers: int
    compress: int
    dilation_base: int
    kernel: int
    residual_kernel: int
    last_kernel: int
    code_dim: int
    codebooks: int
    card: int
    heads: int
    layers: int
    hidden: int
    context: int
    max_period: float
    layer_scale: bool

    @property
    def frame_samples(self) -> int:
        """PCM samples of one codec frame."""
        return round(self.sample_rate / self.frame_rate)

    @property
    def steps(self) -> int:
        """Transformer steps of one codec frame (two in Mimi: 25 Hz inside, 12.5 Hz outside)."""
        return self.frame_samples // math.prod(self.ratios)


def read_config(path: Path | None) -> MimiConfig:
    """Parse a Mimi config file, or take the reference's values. InputError names what is wrong."""
    where = "Mimi's reference config" if path is None else str(path)
    raw = REFERENCE if path is None else dict(read_object(path, InputError, "a Mimi config is an object of settings"))
    _check(where, raw)
    root = JsonNode(where, "", raw, InputError)
    seanet, quantizer, transformer = root.get("seanet"), root.get("quantizer"), root.get("transformer")
    config = MimiConfig(
        sample_rate=root.get("sample_rate").integer(1, MOST),
        frame_rate=root.get("frame_rate").positive(),
        dim=seanet.get("dimension").integer(1, MOST),
        filters=seanet.get("n_filters").integer(1, MOST),
        ratios=tuple(r.integer(1, MOST) for r in seanet.get("ratios").items()),
        residual_layers=seanet.get("n_residual_layers").integer(1, MOST),
        compress=seanet.get("compress").integer(1, MOST),
        dilation_base=seanet.get("dilation_base").integer(1, MOST),
        kernel=seanet.get("kernel_size").integer(1, MOST),
        residual_kernel=seanet.get("residual_kernel_size").integer(1, MOST),
        last_kernel=seanet.get("last_kernel_size").integer(1, MOST),
        code_dim=quantizer.get("dimension").integer(1, MOST),
        codebooks=quantizer.get("n_q").integer(1, MOST),
        card=quantizer.get("bins").integer(1, MOST),
        heads=transformer.get("num_heads").integer(1, MOST),
        layers=transformer.get("num_layers").integer(1, MOST),
        hidden=transformer.get("dim_feedforward").integer(1, MOST),
        context=transformer.get("context").integer(1, MOST),
        max_period=transformer.get("max_period").positive(),
        layer_scale=bool(transformer.get("layer_scale")),
    )
    if transformer.get("d_model").value != config.dim or quantizer.get("input_dimension").value != config.dim:
        raise InputError(f"{where}: the transformer and the quantizer must have the dimension {config.dim} of seanet")
    if config.frame_samples != config.steps * math.prod(config.ratios) or config.steps < 2:
        raise InputError(f"{where}: frames of {config.frame_samples} samples do not divide by the ratios")
    if config.context % config.steps:
        raise InputError(f"{where}: a context of {config.context} is not a multiple of {config.steps} steps a frame")
    return config


def _check(where: str, raw: dict[str, Any]) -> None:
    """Refuse what the graph is not built for."""
    if set(raw) != set(REFERENCE):
        raise InputError(f"{where}: {', '.join(sorted(set(raw) ^ set(REFERENCE)))} is missing or unknown")
    if raw["channels"] != 1:
        raise InputError(f"{where}: channels is {raw['channels']!r}, and only 1 can be exported")
    for section in ("seanet", "quantizer", "transformer"):
        entry = raw[section]
        if not isinstance(entry, dict) or set(entry) - set(REFERENCE[section]):
            extra = sorted(set(entry) - set(REFERENCE[section])) if isinstance(entry, dict) else [section]
            raise InputError(f"{where}: {section}.{', '.join(extra)} is not a setting of Mimi this exporter knows")
        for key, value in _FIXED.get(section, {}).items():
            if entry.get(key, value) != value:
                raise InputError(f"{where}: {section}.{key} is {entry[key]!r}, and only {value!r} can be exported")


@dataclass(frozen=True)
class Conv:
    """One convolution of SEANet: its place in the checkpoint and its geometry."""

    name: str
    inputs: int
    outputs: int
    width: int
    stride: int = 1
    dilation: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class Residual:
    """A residual block: activation, convolution, activation, 1-wide convolution, plus its input."""

    convs: tuple[Conv, Conv]


@dataclass(frozen=True)
class Activation:
    """ELU."""


Stage = Conv | Residual | Activation


class Shape(Protocol):
    """What of a configuration decides SEANet's stages; see MimiConfig."""

    @property
    def dim(self) -> int: ...
    @property
    def filters(self) -> int: ...
    @property
    def ratios(self) -> tuple[int, ...]: ...
    @property
    def residual_layers(self) -> int: ...
    @property
    def compress(self) -> int: ...
    @property
    def dilation_base(self) -> int: ...
    @property
    def kernel(self) -> int: ...
    @property
    def residual_kernel(self) -> int: ...
    @property
    def last_kernel(self) -> int: ...


def encoder_stages(c: Shape) -> list[Stage]:
    """SEANetEncoder.model in order (moshi/modules/seanet.py), numbered as the checkpoint numbers it."""
    stages: list[Stage] = [_conv("encoder", 0, 1, c.filters, c.kernel)]
    width = c.filters
    for ratio in reversed(c.ratios):
        stages += [_residual(c, "encoder", len(stages) + j, width, j) for j in range(c.residual_layers)]
        stages.append(Activation())
        stages.append(_conv("encoder", len(stages), width, 2 * width, 2 * ratio, ratio))
        width *= 2
    stages.append(Activation())
    stages.append(_conv("encoder", len(stages), width, c.dim, c.last_kernel))
    return stages


def decoder_stages(c: Shape) -> list[Stage]:
    """SEANetDecoder.model in order."""
    width = c.filters << len(c.ratios)
    stages: list[Stage] = [_conv("decoder", 0, c.dim, width, c.kernel)]
    for ratio in c.ratios:
        stages.append(Activation())
        stages.append(
            Conv(f"decoder.model.{len(stages)}.convtr.convtr", width, width // 2, 2 * ratio, ratio, transposed=True)
        )
        width //= 2
        stages += [_residual(c, "decoder", len(stages) + j, width, j) for j in range(c.residual_layers)]
    stages.append(Activation())
    stages.append(_conv("decoder", len(stages), c.filters, 1, c.last_kernel))
    return stages


def _conv(side: str, place: int, inputs: int, outputs: int, width: int, stride: int = 1) -> Conv:
    return Conv(f"{side}.model.{place}.conv.conv", inputs, outputs, width, stride)


def _residual(c: Shape, side: str, place: int, width: int, j: int) -> Residual:
    inner = width // c.compress
    return Residual(
        (
            Conv(f"{side}.model.{place}.block.1.conv.conv", width, inner, c.residual_kernel, 1, c.dilation_base**j),
            Conv(f"{side}.model.{place}.block.3.conv.conv", inner, width, 1),
        )
    )
