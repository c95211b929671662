"""From figures per person to rows with intervals: every slice is resampled once, and all comparisons are paired on it.

Belongs here: intervals, differences and shares of the ranking report. Does not belong here: the figures per person
(`metrics.py`), the resampling itself (`bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.bootstrap import Interval, mean_intervals, percentile_interval, resampled_means
from fashionrec_assets.evaluation.metrics import PER_USER_METRICS, Metric, SliceMetrics
from fashionrec_assets.evaluation.ranking_figures import Comparison, OracleShare, Row
from fashionrec_assets.evaluation.slices import SliceName

COMPARED: tuple[str, ...] = ("recall", "ndcg")
"""The metrics that methods are held against each other by."""


@dataclass(frozen=True)
class ResampledSlice:
    """A slice's rows, with what comparisons need: all columns per user and resampled, and where each column is."""

    rows: list[Row]
    values: NDArray[np.float64]
    means: NDArray[np.float64]
    place: Mapping[tuple[str, str, int], int]
    intervals: Mapping[tuple[str, str, int], Interval]
    size: tuple[int, int]


def slice_rows(name: SliceName, figures: Mapping[str, SliceMetrics], draws: int, seed: int) -> ResampledSlice:
    """The slice's figures by method, with intervals from `draws` resamples of its people."""
    sample = next(iter(figures.values()))
    order: list[Metric] = [
        (metric, k)
        for metric in PER_USER_METRICS
        for k in sorted({k for _, k in sample.values})
        if (metric, k) in sample.values
    ]
    columns = [(method, metric, k) for method in figures for metric, k in order]
    values = np.stack([figures[method].values[metric, k] for method, metric, k in columns], axis=1)
    means = resampled_means(values, draws, seed)
    lows, highs = percentile_interval(means)
    intervals = {
        column: Interval(float(values[:, index].mean()), float(lows[index]), float(highs[index]))
        for index, column in enumerate(columns)
    }
    size = (len(sample.rows), sample.targets)
    rows = [
        Row(method, name, metric, k, interval.value, interval.low, interval.high, *size)
        for (method, metric, k), interval in intervals.items()
    ]
    return ResampledSlice(rows, values, means, {column: index for index, column in enumerate(columns)}, intervals, size)


def compare(
    name: SliceName, found: ResampledSlice, models: Sequence[str], names: Sequence[str], k: int
) -> list[Comparison]:
    """Each of `models` less each other method, on the same resamples."""
    comparisons: list[Comparison] = []
    for model in models:
        for metric in COMPARED:
            for rival in names:
                if rival == model:
                    continue
                first, second = (model, metric, k), (rival, metric, k)
                one, other = found.place[first], found.place[second]
                low, high = percentile_interval((found.means[:, one] - found.means[:, other])[:, None])
                gap = float(found.values[:, one].mean() - found.values[:, other].mean())
                apart = not found.intervals[first].overlaps(found.intervals[second])
                difference = Interval(gap, float(low[0]), float(high[0]))
                comparisons.append(Comparison(model, rival, name, metric, k, difference, apart))
    return comparisons


def spread_rows(
    names: Sequence[str],
    ks: Sequence[int],
    spread: Mapping[tuple[str, int], tuple[float, Mapping[str, NDArray[np.float64]]]],
    size: tuple[int, int],
    draws: int,
    seed: int,
) -> list[Row]:
    """Coverage, and the mean of what lists are like with its interval, by method and cut-off."""
    finite = {
        (method, k, metric): values[np.isfinite(values)]
        for method in names
        for k in ks
        for metric, values in spread[method, k][1].items()
    }
    finite = {place: values for place, values in finite.items() if len(values)}
    intervals = dict(zip(finite, mean_intervals(list(finite.values()), draws, seed), strict=True))
    rows: list[Row] = []
    for method in names:
        for k in ks:
            share, qualities = spread[method, k]
            rows.append(Row(method, "overall", "coverage", k, share, None, None, *size))
            for metric in qualities:
                found = intervals.get((method, k, metric))
                if found is not None:
                    rows.append(Row(method, "overall", metric, k, found.value, found.low, found.high, *size))
    return rows


def oracle_shares(
    name: SliceName,
    metric: str,
    k: int,
    names: Sequence[str],
    oracle: str,
    found: ResampledSlice,
) -> list[OracleShare]:
    """Each method's figure over the oracle's, on the same resamples; none where the oracle may have found nothing."""
    values, means, place = found.values, found.means, found.place
    best = place[oracle, metric, k]
    if values[:, best].mean() <= 0 or means[:, best].min() <= 0:
        return []
    shares: list[OracleShare] = []
    for method in names:
        if method == oracle:
            continue
        own = place[method, metric, k]
        low, high = percentile_interval((means[:, own] / means[:, best])[:, None])
        value = float(values[:, own].mean() / values[:, best].mean())
        shares.append(OracleShare(method, name, metric, k, Interval(value, float(low[0]), float(high[0]))))
    return shares
