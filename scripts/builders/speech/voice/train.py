"""What both trainings of the voice share: the loop, the running mean of the weights, and how it is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from builders.speech.optimise import Optimisers
from noctule.core.errors import NoctuleError


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


@dataclass(frozen=True)
class Course:
    """How one of the two is trained. name: in files and messages; tables: what is AdamW's (see `optimise`), with its
    betas; the rate rises for `warm_up` steps and falls on a cosine to `last` of itself; mean: of the running mean."""

    name: str
    tables: tuple[str, ...]
    steps: int
    rate: float
    muon: float
    mean: float
    warm_up: int
    last: float
    betas: tuple[float, float] = (0.9, 0.98)

    def rate_at(self, step: int) -> float:
        cosine = self.last + (1 - self.last) / 2 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * cosine


class MeanTrainer:
    """One run: a model with a shape, the running mean of its weights, and where it stands."""

    def __init__(self, model: nn.Module, shape: Any, course: Course, seed: int) -> None:
        self.model: nn.Module = model
        self.shape, self.course = shape, course
        self.mean = mean_of(model)
        self.random = np.random.default_rng(seed)
        self.step = self.skipped = 0

    def warm(self, state: dict[str, Tensor]) -> None:
        """Begin from other weights (of an earlier encoder, perhaps)."""
        self.model.load_state_dict(state)
        self.mean = mean_of(self.model)

    def losses(self) -> dict[str, Tensor]:
        """Every term of one batch, each already weighted; what has no gradient is only shown."""
        raise NotImplementedError

    def run(self, say: Callable[[str], None], target: Path, encoder: str = "") -> None:
        """Train for the course's steps; a checkpoint every two minutes beside `target`, and `target` at the end.

        encoder: the name of the weights whose codes these are.
        """
        course = self.course
        optimiser = Optimisers(self.model.named_parameters(), course.tables, course.muon, betas=course.betas)
        begin = saved = time.monotonic()
        first = self.step
        sums: dict[str, float] = {}
        while self.step < course.steps:
            optimiser.rate(course.rate_at(self.step))
            terms = self.losses()
            optimiser.zero_grad()
            learned = [term for term in terms.values() if term.requires_grad]
            torch.stack(learned).sum().backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.step += 1
            if not bool(torch.isfinite(norm)):
                self.skipped += 1
                continue
            optimiser.step()
            mean_of(self.model, self.mean, min(course.mean, (1 + self.step) / (10 + self.step)))
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach())
            if self.step % 50 == 0:
                shown = " ".join(f"{name} {value / 50:.3f}" for name, value in sums.items())
                left = (time.monotonic() - begin) / (self.step - first) * (course.steps - self.step) / 60
                say(
                    f"{course.name} {self.step}/{course.steps}: {shown}, skipped {self.skipped},"
                    f" about {left:.0f} min left"
                )
                sums = {}
            if time.monotonic() - saved > 120:
                self.save(target.with_suffix(".partial"), "")
                saved = time.monotonic()
        if not self.save(target, encoder):
            raise NoctuleError("the weights are not numbers any more", "train again with another seed")

    def save(self, target: Path, encoder: str) -> bool:
        """Write the running mean of the weights if every one is finite; whether it was."""
        return finite(self.mean) and save_mean(target, self.course.name, self.mean, self.shape, self.step, encoder)
