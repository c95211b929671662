"""Intervals over users: how far a figure could be from what other users of the same kind would have given.

Belongs here: resampling of per-user figures. Does not belong here: the figures, and what is made of the intervals.

The percentile bootstrap of Efron and Tibshirani (1993, chapter 13): users are drawn with replacement, the mean is
taken, and the 2.5th and 97.5th percentile of many such means are the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class Interval:
    """A mean over users with its 95 % interval."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high


def resampled_means(values: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """Means (draws, m) of the columns of `values` (n, m) over `draws` resamples of its n rows.

    All columns see the same resamples, so a difference of two columns of the result is a *paired* resample. Memory is
    bounded: resamples are drawn as multinomial counts, some at a time. Raises ValueError without rows.
    """
    n, m = values.shape
    if n == 0:
        raise ValueError("there is nothing to resample: no users")
    rng = np.random.default_rng(seed)
    means = np.empty((draws, m))
    step = max(1, _CHUNK_BYTES // (8 * n))
    odds = np.full(n, 1.0 / n)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        means[start : start + size] = rng.multinomial(n, odds, size=size) @ values / n
    return means


def percentile_interval(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds (m,) and (m,) of the 95 % intervals of resampled means (draws, m)."""
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def mean_interval(values: ArrayLike, *, draws: int = 1000, seed: int = 0) -> Interval:
    """The mean of one figure per user, (n,), with its interval."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    low, high = percentile_interval(resampled_means(column, draws, seed))
    return Interval(float(column.mean()), float(low[0]), float(high[0]))


def paired_difference(first: ArrayLike, second: ArrayLike, *, draws: int = 1000, seed: int = 0) -> Interval:
    """The mean of `first - second` over the same users, (n,) each, with its interval.

    Pairing removes what makes some users easy for every method, so it separates methods whose own intervals overlap.
    """
    return mean_interval(np.asarray(first, np.float64) - np.asarray(second, np.float64), draws=draws, seed=seed)
