"""The largest of many logits, in linear time: what top-k and top-p keep, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noctule.lm.sampling import Sampling

Floats = NDArray[np.float32] | NDArray[np.float64]
Ids = NDArray[np.intp]

#: Size of the blocks whose maxima or sums stand for a large vocabulary at first.
BLOCK = 64
#: Vocabularies up to this size are partitioned at once.
SMALL = 4096
#: How many tokens usually hold top_p of the mass when there is no top-k.
NUCLEUS = 1024


def largest(x: Floats, k: int) -> Ids:
    """Positions of the k largest, rising; among equals at the edge the lower positions. O(V).

    The k-th largest block maximum is a lower bound of the k-th largest value, so that only elements at or above
    it need partitioning (a few hundred instead of 262,144).
    """
    positions: Ids | None = None
    if x.size > SMALL:
        # Blocks are strided (element i is in block i mod n): numpy reduces the first axis ten times faster.
        maxima = x[: x.size - x.size % BLOCK].reshape(BLOCK, -1).max(axis=0)
        if maxima.size > k:
            positions = np.flatnonzero(x >= np.partition(maxima, maxima.size - k)[maxima.size - k])
    values = x if positions is None else x[positions]
    edge = np.partition(values, values.size - k)[values.size - k]
    above = np.flatnonzero(values > edge)
    equal = np.flatnonzero(values == edge)[: k - above.size]
    kept = np.sort(np.concatenate([above, equal]))
    return kept if positions is None else positions[kept]


def nucleus(x: Floats, top: float, how: Sampling) -> tuple[Ids, float]:
    """Enough of the largest to hold top_p of the mass, rising; and the mass of all (in units of the largest p).

    Most distributions need few. For flat ones a regular sample of the logits tells about how low to go, and the
    mass above that edge is then checked, so the result never depends on the guess.
    """

    def mass(logits: Floats) -> float:
        return float(shares(logits, top, how.temperature).sum(dtype=np.float64))

    total = mass(x)

    if x.size > SMALL:
        kept = largest(x, NUCLEUS)
        if mass(x[kept]) >= how.top_p * total:
            return kept, total
        sample = np.sort(np.asarray(x[:: x.size // SMALL], np.float32))[::-1]
        sums = np.cumsum(weights(sample, top, how.temperature))
        depth = int(np.searchsorted(sums, how.top_p * sums[-1]))
        while (depth := depth + depth // 16 + 16) < sample.size:
            kept = np.flatnonzero(x >= sample[depth])
            if mass(x[kept]) >= how.top_p * total:
                return kept, total
    return np.arange(x.size), total


def weights(values: Floats, top: float, temperature: float) -> Floats:
    """softmax before division: exp((x - top) / T); in float64 unless there are many (it costs 15 times more)."""
    if values.size <= SMALL:
        return np.exp((values.astype(np.float64) - top) / temperature)
    return shares(values, top, temperature)


def shares(x: Floats, top: float, temperature: float) -> Floats:
    """exp((x - top) / T) in the type of x. What lies too far below `top` for that type has no share."""
    with np.errstate(over="ignore"):
        return np.exp((x - top) * (1.0 / temperature))


def falling(values: Floats) -> Ids:
    """Order of falling value, equal ones by position."""
    if values.size <= SMALL or values.dtype != np.float32:
        return np.argsort(-values, kind="stable")
    # One sort of 64-bit keys (value's bits turned so that they fall, then position) is vectorised; a stable
    # argsort is not. Adding 0.0 makes -0.0 and 0.0 equal.
    bits = (values + np.float32(0.0)).view(np.int32)
    rising = np.where(bits < 0, ~bits, bits ^ np.int32(-(2**31))).view(np.uint32)
    keys = (~rising).astype(np.uint64) << np.uint64(32) | np.arange(values.size, dtype=np.uint64)
    keys.sort()
    order: Ids = (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)
    return order
