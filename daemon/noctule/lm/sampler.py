"""From logits to one token: pure numpy, seeded. Knows nothing of text, audio or models.

The law. For logits x[V], temperature T > 0, in this order:
  1. repetition penalty r: each distinct id of the history has x := x / r if x > 0, else x * r
     (Keskar et al. 2019, "CTRL", section 4.1, as most implementations apply it);
  2. mask: ids not allowed are left out;
  3. top-k: the k largest stay; among equal logits the lower id wins. k = 0 or k >= the number left: all stay;
  4. p = softmax(x / T) over what is left;
  5. top-p (Holtzman et al. 2020, "The curious case of neural text degeneration"): in order of falling p (ties by
     id) the shortest prefix whose sum reaches top_p stays;
  6. min-p (Nguyen et al. 2024, arXiv 2407.01082): those with p >= min_p * max(p) stay, p as in 4;
  7. a uniform number u in [0, 1) picks the first token whose cumulative p exceeds u times the sum of what stayed.
     The order of accumulation is falling p (ties by id) when any of 3, 5, 6 is set, else rising id. That is also
     the order of torch.topk, so that inverse-CDF sampling on the reference `moshi` gives the same tokens.
T < 0.0001 (`sampling.COLDEST`), 0 included, is greedy: the largest logit after 1 and 2, the lowest id among equals;
no randomness is used.

Logits of -inf are tokens that cannot come. NaN and +inf are refused: they mean a broken model, never a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError
from noctule.lm.constraint import Mask
from noctule.lm.sampling import AudioSampling, Sampling, TextSampling, settings
from noctule.lm.top_k import BLOCK, SMALL, Floats, Ids, falling, largest, nucleus, shares, weights

__all__ = ["AudioSampling", "Sampler", "Sampling", "TextSampling", "choose", "probabilities", "settings"]


class Sampler:
    """Draws tokens by the module's law from one seeded stream of uniform numbers (PCG64)."""

    def __init__(self, how: Sampling, seed: int) -> None:
        self.settings = how
        self._random = np.random.Generator(np.random.PCG64(seed))

    def sample(
        self, logits: NDArray[Any], history: Sequence[int] | NDArray[Any] = (), mask: Mask | None = None
    ) -> int:
        """One token id. `logits` float [V] (any leading dimensions of 1); `history` ids already produced."""
        if self.settings.greedy:
            return choose(logits, self.settings, 0.0, history, mask)
        return choose(logits, self.settings, float(self._random.random()), history, mask)

    def sample_with(
        self,
        logits: NDArray[Any],
        uniform: float,
        history: Sequence[int] | NDArray[Any] = (),
        mask: Mask | None = None,
    ) -> int:
        """Like `sample`, with the uniform number given; the sampler's own stream is not advanced."""
        return choose(logits, self.settings, uniform, history, mask)


def choose(
    logits: NDArray[Any],
    how: Sampling,
    uniform: float,
    history: Sequence[int] | NDArray[Any] = (),
    mask: Mask | None = None,
) -> int:
    """The token the law gives for this uniform number; see the module's docstring."""
    if not 0.0 <= uniform < 1.0:
        raise InputError(f"sampling: the uniform number must be in [0, 1), got {uniform!r}")
    x = _checked(logits)
    x = _penalised(x, history, how.repetition_penalty)
    ids = _allowed(mask, x.size)
    if ids is not None:
        x = x[ids]
    if how.greedy:
        best = int(x.argmax())
        _refuse_all_masked(float(x[best]), mask)
        return int(ids[best]) if ids is not None else best
    kept, p = _distribution(x, how, mask)
    index = _invert(p, uniform)
    at = int(kept[index]) if kept is not None else index
    return int(ids[at]) if ids is not None else at


def probabilities(
    logits: NDArray[Any],
    how: Sampling,
    history: Sequence[int] | NDArray[Any] = (),
    mask: Mask | None = None,
) -> NDArray[np.float64]:
    """The law as a float64 [V] vector that sums to 1; for tests and inspection, not for speed."""
    x = _penalised(_checked(logits), history, how.repetition_penalty)
    full = np.zeros(x.size, np.float64)
    ids = _allowed(mask, x.size)
    if how.greedy:
        full[choose(logits, how, 0.0, history, mask)] = 1.0
        return full
    kept, p = _distribution(x if ids is None else x[ids], how, mask)
    at = np.arange(p.size) if kept is None else kept
    full[at if ids is None else ids[at]] = p / p.sum(dtype=np.float64)
    return full


# ---- steps of the law -----------------------------------------------------------------------------------------


def _checked(logits: NDArray[Any]) -> Floats:
    x = np.asarray(logits)
    if x.size == 0 or x.size != x.shape[-1]:
        raise InputError(f"sampling: logits must be one row, got shape {list(x.shape)}")
    if x.dtype not in (np.float32, np.float64):
        raise InputError(f"sampling: logits must be float32 or float64, got {x.dtype.name}")
    x = x.reshape(-1)
    top = float(x.max())  # NaN if any is NaN
    if math.isnan(top) or top == math.inf:
        bad = int(np.flatnonzero(np.isnan(x) | (x == np.inf))[0])
        what = "not a number" if math.isnan(float(x[bad])) else "infinite"
        raise ModelError(
            f"sampling: the model's logit for token {bad} is {what}, so no token can be chosen",
            "the model file or the runtime is broken on this machine; run `noctule doctor`",
        )
    return x


def _penalised(x: Floats, history: Sequence[int] | NDArray[Any], penalty: float) -> Floats:
    if penalty == 1.0 or len(history) == 0:
        return x
    seen = np.unique(np.asarray(history, np.intp))
    if seen[0] < 0 or seen[-1] >= x.size:
        raise InputError(f"sampling: the history holds a token outside 0..{x.size - 1}")
    x = x.copy()
    values = x[seen]
    x[seen] = np.where(values > 0, values / penalty, values * penalty)
    return x


def _allowed(mask: Mask | None, size: int) -> Ids | None:
    """Ids that may come, rising; None for all."""
    if mask is None:
        return None
    given: NDArray[Any] = np.asarray(mask)
    if given.ndim != 1:
        raise InputError(f"sampling: a mask must have one dimension, got shape {list(given.shape)}")
    if given.dtype == np.bool_:
        if given.size != size:
            raise InputError(f"sampling: the mask has {given.size} entries for {size} logits")
        ids = np.flatnonzero(given)
    elif np.issubdtype(given.dtype, np.integer):
        ids = np.unique(given.astype(np.intp, copy=False))
        if ids.size and (ids[0] < 0 or ids[-1] >= size):
            raise InputError(f"sampling: the mask holds a token outside 0..{size - 1}")
    else:
        raise InputError(f"sampling: a mask must be of booleans or token ids, got {given.dtype.name}")
    if ids.size == 0:
        _refuse_all_masked(-math.inf, mask)
    return ids


def _refuse_all_masked(top: float, mask: Mask | None) -> None:
    if top == -math.inf:
        why = "every logit is -inf" if mask is None else "the constraint allows no token the model can give"
        raise ModelError(f"sampling: {why}, so no token can be chosen")


def _distribution(x: Floats, how: Sampling, mask: Mask | None) -> tuple[Ids | None, Floats]:
    """(positions kept, their unnormalised p), in the order of accumulation; positions None = all, rising."""
    top = float(x.max())
    _refuse_all_masked(top, mask)
    if not how.filters or (how.top_k >= x.size and how.top_p >= 1.0 and how.min_p <= 0.0):
        return None, shares(x, top, how.temperature)
    if 0 < how.top_k < x.size:
        kept = largest(x, how.top_k)
        total = None
    elif how.top_p < 1.0:
        kept, total = nucleus(x, top, how)
    else:
        kept = np.flatnonzero(x >= top + how.temperature * math.log(how.min_p) - 1e-3)
        total = None
    values = x[kept]
    order = falling(values)  # kept is rising, so equal logits stay in order of id
    kept, values = kept[order], values[order]
    p = weights(values, top, how.temperature)
    count = p.size
    if how.top_p < 1.0:
        sums = np.cumsum(p, dtype=np.float64)
        goal = how.top_p * (float(sums[-1]) if total is None else total)
        count = min(count, int(np.searchsorted(sums, goal, side="left")) + 1)
    if how.min_p > 0.0:
        count = min(count, int(np.searchsorted(-p, -how.min_p * p[0], side="right")))
    return kept[:count], p[:count]


def _invert(p: Floats, uniform: float) -> int:
    """First index whose cumulative sum exceeds uniform * sum; never one of zero weight.

    A running sum is one long chain of additions (9 ns each); over many tokens it runs over block sums first.
    """
    start = 0
    goal = -1.0
    if p.size > SMALL:
        whole = p.size - p.size % BLOCK
        blocks = np.append(p[:whole].reshape(-1, BLOCK).sum(axis=1), p[whole:].sum()).astype(np.float64)
        sums = np.cumsum(blocks)
        block = _first_above(sums, blocks, uniform * float(sums[-1]))
        goal = uniform * float(sums[-1]) - (float(sums[block - 1]) if block else 0.0)
        start = block * BLOCK
        p = p[start : start + BLOCK]
    sums = np.cumsum(p, dtype=np.float64)
    return start + _first_above(sums, p, goal if goal >= 0.0 else uniform * float(sums[-1]))


def _first_above(sums: NDArray[np.float64], weights: Floats, goal: float) -> int:
    index = int(np.searchsorted(sums, goal, side="right"))
    # The goal can round up to the sum itself; then the last of positive weight is meant.
    return index if index < sums.size else int(np.flatnonzero(weights)[-1])
