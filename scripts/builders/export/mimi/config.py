"""Mimi's configuration: the reference's own values (moshi/models/loaders.py, `_mimi_config`) or a JSON file like it.

Kyutai publishes Mimi without a config file; every width here is checked against the weights, so a Mimi of another
shape is refused by the tensor that differs. Heads, context and rates cannot be seen in the weights.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError

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
    raw: Any = REFERENCE
    if path is not None:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as a Mimi config: {error}") from error
    parts = _sections(where, raw)
    seanet, quantizer, transformer = parts["seanet"], parts["quantizer"], parts["transformer"]
    try:
        config = MimiConfig(
            sample_rate=int(raw["sample_rate"]),
            frame_rate=float(raw["frame_rate"]),
            dim=int(seanet["dimension"]),
            filters=int(seanet["n_filters"]),
            ratios=tuple(int(r) for r in seanet["ratios"]),
            residual_layers=int(seanet["n_residual_layers"]),
            compress=int(seanet["compress"]),
            dilation_base=int(seanet["dilation_base"]),
            kernel=int(seanet["kernel_size"]),
            residual_kernel=int(seanet["residual_kernel_size"]),
            last_kernel=int(seanet["last_kernel_size"]),
            code_dim=int(quantizer["dimension"]),
            codebooks=int(quantizer["n_q"]),
            card=int(quantizer["bins"]),
            heads=int(transformer["num_heads"]),
            layers=int(transformer["num_layers"]),
            hidden=int(transformer["dim_feedforward"]),
            context=int(transformer["context"]),
            max_period=float(transformer["max_period"]),
            layer_scale=transformer["layer_scale"] is not None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {error} is missing or not a number") from error
    if transformer["d_model"] != config.dim or quantizer["input_dimension"] != config.dim:
        raise InputError(f"{where}: the transformer and the quantizer must have the dimension {config.dim} of seanet")
    if config.frame_samples != config.steps * math.prod(config.ratios) or config.steps < 2:
        raise InputError(f"{where}: frames of {config.frame_samples} samples do not divide by the ratios")
    if config.context % config.steps:
        raise InputError(f"{where}: a context of {config.context} is not a multiple of {config.steps} steps a frame")
    return config


def _sections(where: str, raw: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(raw, dict) or set(raw) != set(REFERENCE):
        keys = sorted(set(raw) ^ set(REFERENCE)) if isinstance(raw, dict) else ["everything"]
        raise InputError(f"{where}: {', '.join(keys)} is missing or unknown")
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
    return {section: raw[section] for section in ("seanet", "quantizer", "transformer")}


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


def encoder_stages(c: MimiConfig) -> list[Stage]:
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


def decoder_stages(c: MimiConfig) -> list[Stage]:
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


def _residual(c: MimiConfig, side: str, place: int, width: int, j: int) -> Residual:
    inner = width // c.compress
    return Residual(
        (
            Conv(f"{side}.model.{place}.block.1.conv.conv", width, inner, c.residual_kernel, 1, c.dilation_base**j),
            Conv(f"{side}.model.{place}.block.3.conv.conv", inner, width, 1),
        )
    )
