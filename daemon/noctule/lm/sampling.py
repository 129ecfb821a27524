"""Settings of the sampler: how to choose a token. Data only. What they mean is told in `sampler.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from noctule.core.errors import InputError

#: A temperature below this is greedy. Already here a token whose logit is 0.01 lower has a share of e^-100, and far
#: below it 1 / temperature is no number any more.
COLDEST = 1e-4


@dataclass(frozen=True)
class Sampling:
    """How to choose; every field has a neutral value (temperature 1, top_k 0, top_p 1, min_p 0, penalty 1)."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        bounds = {
            "temperature": (0.0, 10.0),
            "top_k": (0, 2**31),
            "top_p": (0.0, 1.0),
            "min_p": (0.0, 1.0),
            "repetition_penalty": (0.1, 10.0),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"sampling: {name} must be from {low:g} to {high:g}, got {value!r}")
        if self.top_k != int(self.top_k):
            raise InputError(f"sampling: top_k must be a whole number, got {self.top_k!r}")

    @property
    def greedy(self) -> bool:
        """True when the largest logit is taken, without chance."""
        return self.temperature < COLDEST

    @property
    def filters(self) -> bool:
        """True when top-k, top-p or min-p removes anything."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


@dataclass(frozen=True)
class TextSampling(Sampling):
    """Defaults for text streams."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95


@dataclass(frozen=True)
class AudioSampling(Sampling):
    """Defaults for audio codebooks: wider than for text, as Kyutai's checkpoints are sampled."""

    temperature: float = 0.8
    top_k: int = 250


S = TypeVar("S", bound=Sampling)


def settings(base: S, values: dict[str, Any]) -> S:
    """`base` with some fields replaced (from a manifest, a config or a request); InputError names a bad one."""
    known = [f.name for f in fields(base)]
    for name, value in values.items():
        if name not in known:
            raise InputError(f"sampling: there is no setting {name!r}", f"known: {', '.join(known)}")
        if name == "top_k" and isinstance(value, float) and value.is_integer():
            values = {**values, name: int(value)}
    return replace(base, **values)
