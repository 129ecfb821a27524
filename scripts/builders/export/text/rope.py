"""Rotary position embeddings: the inverse frequencies a layer turns its queries and keys by.

Source of the scaling rules: transformers `modeling_rope_utils.py` (default, linear, llama3). Scalings that
depend on the sequence length (dynamic, yarn, longrope) do not fit a graph with constant frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noctule.core.errors import InputError


@dataclass(frozen=True)
class Rope:
    """`inv_freq`: radians per position of each rotated pair; 2 * len(inv_freq) of a head's dims are rotated.

    Pairs are half-split: dim j is paired with j + len(inv_freq), as in the transformers layout.
    """

    inv_freq: tuple[float, ...]

    @property
    def dims(self) -> int:
        return 2 * len(self.inv_freq)


def plain_rope(rotary_dim: int, theta: float) -> Rope:
    """Frequencies theta^(-2j/rotary_dim) (RoFormer, arXiv 2104.09864)."""
    return Rope(tuple(theta ** (-2.0 * j / rotary_dim) for j in range(rotary_dim // 2)))


def rope_from_config(parameters: Mapping[str, Any], head_dim: int, where: str) -> Rope:
    """Read a `rope_parameters` mapping (rope_type, rope_theta, partial_rotary_factor and the scaling's own keys)."""
    theta = parameters.get("rope_theta")
    if not isinstance(theta, (int, float)) or theta <= 0:
        raise InputError(f"{where}: rope_theta is {theta!r}, expected a positive number")
    rotary = int(head_dim * float(parameters.get("partial_rotary_factor", 1.0)))
    if rotary < 2 or rotary % 2:
        raise InputError(f"{where}: {rotary} rotary dimensions of a head of {head_dim} is not a positive even number")
    rope = plain_rope(rotary, float(theta))
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind == "default":
        return rope
    if kind == "linear":
        factor = float(parameters["factor"])
        return Rope(tuple(f / factor for f in rope.inv_freq))
    if kind == "llama3":
        return Rope(tuple(_llama3(f, parameters) for f in rope.inv_freq))
    raise InputError(
        f"{where}: rope scaling {kind!r} is not supported",
        "default, linear and llama3 are; the others change with the length of the text",
    )


def _llama3(freq: float, parameters: Mapping[str, Any]) -> float:
    """Slow waves are stretched by `factor`, fast ones kept, those between interpolated (Llama 3.1)."""
    factor = float(parameters["factor"])
    low, high = float(parameters["low_freq_factor"]), float(parameters["high_freq_factor"])
    context = float(parameters["original_max_position_embeddings"])
    wavelength = 2 * math.pi / freq
    if wavelength < context / high:
        return freq
    if wavelength > context / low:
        return freq / factor
    smooth = (context / wavelength - low) / (high - low)
    return (1 - smooth) * freq / factor + smooth * freq
