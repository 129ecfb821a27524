"""Muon (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon) for the kernels of convolutions.

torch's own takes matrices only; here a kernel [out, in, width] counts as the matrix [out, in * width]. In float32, so
that one seed gives one model.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

#: Newton-Schulz coefficients and rounds: singular values end near 1, which is all that is asked of them.
_COEFFICIENTS, _ROUNDS = (3.4445, -4.7750, 2.0315), 5


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix [m, n] whose singular values are all 1."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's), made orthogonal; `lr` is the spectral norm of a step."""

    def __init__(self, kernels: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(kernels, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            keep = group["momentum"]
            for kernel in group["params"]:
                mean = self.state[kernel].setdefault("mean", torch.zeros_like(kernel))
                mean.lerp_(kernel.grad, 1 - keep)
                ahead = kernel.grad.lerp(mean, keep)
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(orthogonal(ahead.flatten(1)).reshape(kernel.shape), alpha=-group["lr"])
