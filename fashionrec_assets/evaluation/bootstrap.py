"""Intervals over users or queries: how far a figure could be from what others of the same kind would have given.

Belongs here: resampling of figures per user or query. Does not belong here: the figures, and what is made of the
intervals.

The percentile bootstrap of Efron and Tibshirani (1993, chapter 13): users are drawn with replacement, the mean is
taken, and the 2.5th and 97.5th percentile of many such means are the interval. Where rows come in groups that are alike
(the colour variants of one design), whole groups are drawn: the cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

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


def resampled_means(
    values: NDArray[np.float64], draws: int, seed: int, clusters: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Means (draws, m) of the columns of `values` (n, m) over `draws` resamples of its n rows.

    All columns see the same resamples, so a difference of two columns of the result is a *paired* resample. With
    `clusters`, a label for each row, whole clusters are drawn, and the mean is that of the rows they bring. Memory is
    bounded: resamples are drawn as multinomial counts, some at a time. Raises ValueError without rows.
    """
    n, m = values.shape
    if n == 0:
        raise ValueError("there is nothing to resample: no users")
    sums, sizes = values, np.ones(n)
    if clusters is not None:
        labels, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)[1:]
        n = len(sizes)
        sums = np.zeros((n, m))
        np.add.at(sums, labels, values)
    rng = np.random.default_rng(seed)
    means = np.empty((draws, m))
    step = max(1, _CHUNK_BYTES // (8 * n))
    odds = np.full(n, 1.0 / n)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        counts = rng.multinomial(n, odds, size=size)
        means[start : start + size] = counts @ sums / (n if clusters is None else (counts @ sizes)[:, None])
    return means


def mean_intervals(columns: Sequence[NDArray[np.float64]], draws: int, seed: int) -> list[Interval]:
    """The mean of each column, one figure per user, with its interval.

    Columns of one length see the same resamples, drawn once; what comes out of a column does not depend on the others.
    Raises ValueError for a column without rows.
    """
    lengths = [len(column) for column in columns]
    if 0 in lengths:
        raise ValueError("there is nothing to resample: no users")
    found: dict[int, Interval] = {}
    for n in sorted(set(lengths)):
        same = [place for place, length in enumerate(lengths) if length == n]
        rng = np.random.default_rng(seed)
        means = np.empty((len(same), draws))
        step = max(1, _CHUNK_BYTES // (8 * n))
        for start in range(0, draws, step):
            counts = rng.multinomial(n, np.full(n, 1.0 / n), size=min(step, draws - start)).astype(np.float64)
            for row, place in enumerate(same):
                means[row, start : start + step] = counts @ columns[place] / n
        lows, highs = percentile_interval(means.T)
        for row, place in enumerate(same):
            found[place] = Interval(float(columns[place].mean()), float(lows[row]), float(highs[row]))
    return [found[place] for place in range(len(columns))]


def percentile_interval(
    means: NDArray[np.float64], units: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds (m,) and (m,) of the 95 % intervals of resampled means (draws, m).

    With `units`, the number of rows or clusters that were drawn from, the percentiles are moved out to where they hold
    for few of them too: the expanded percentile interval of Hesterberg (2015, "What Teachers Should Know About the
    Bootstrap", section 4.3). It is the same as the plain one for many units.
    """
    outside = 2.5 if units is None else 100 * _expanded_tail(units)
    low, high = np.percentile(means, [outside, 100 - outside], axis=0)
    return low, high


def _expanded_tail(units: int) -> float:
    """The share to leave out on each side for 95 % coverage with few units: about 0.025 for many."""
    from scipy.special import stdtrit

    if units < 2:
        return 0.0
    return NormalDist().cdf(float(np.sqrt(units / (units - 1)) * stdtrit(units - 1, 0.025)))


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
