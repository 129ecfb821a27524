"""Flat or growing: a robust slope with its confidence interval, against a bound. Pure.

Sen's slope (the median of all pairwise slopes) with the interval that Kendall's statistic gives (Sen 1968; Hollander
and Wolfe, Nonparametric Statistical Methods, 9.3): a few outliers, such as a picture being encoded, do not move it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FLAT, GROWING, UNCLEAR = "flat", "GROWING", "unclear"
#: the standard normal quantile of a two-sided 95 % interval.
_Z = 1.96


@dataclass(frozen=True)
class Trend:
    """slope: per hour; low, high: its 95 % interval; bound: the slope that would be a leak."""

    slope: float
    low: float
    high: float
    bound: float

    @property
    def verdict(self) -> str:
        """Flat when even the interval's upper end is below the bound; growing when its lower end is above it."""
        if self.high < self.bound:
            return FLAT
        return GROWING if self.low > self.bound else UNCLEAR


def trend(hours: Sequence[float], values: Sequence[float], bound: float) -> Trend:
    """The trend of `values` taken at `hours` (increasing). ValueError for fewer than four samples."""
    count = len(values)
    if count != len(hours) or count < 4:
        raise ValueError("a trend needs four samples or more")
    slopes = sorted(
        (values[j] - values[i]) / (hours[j] - hours[i]) for i in range(count) for j in range(i + 1, count)
    )
    spread = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2) - 1)
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Trend(statistics.median(slopes), slopes[low], slopes[high], bound)
