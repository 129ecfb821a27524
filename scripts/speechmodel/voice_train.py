"""What both trainings of the voice share: the running mean of the weights, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def mean_of(model: nn.Module, mean: dict[str, Tensor] | None = None, share: float = 0.0) -> dict[str, Tensor]:
    """A copy of the weights, or `mean` moved towards them: share * mean + (1 - share) * weights, in place."""
    state = model.state_dict()
    if mean is None:
        return {name: value.detach().clone() for name, value in state.items()}
    torch._foreach_lerp_([mean[name] for name in state], list(state.values()), 1 - share)
    return mean


def finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(value).all()) for value in weights.values())


def save_mean(target: Path, name: str, weights: Mapping[str, Tensor], shape: Any, step: int, encoder: str) -> bool:
    """Write the weights whole or not at all; True."""
    temporary = target.with_name(f"{target.name}.part")
    torch.save({name: dict(weights), "shape": dict(shape.__dict__), "step": step, "encoder": encoder}, temporary)
    temporary.replace(target)
    return True
