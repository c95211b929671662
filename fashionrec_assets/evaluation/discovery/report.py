"""The discovery report's figures: curves with intervals, whether they go the way they must, and the styles' truth.

Belongs here: intervals, steps between neighbouring values of a dial, the price of the settings in force. Does not
belong here: making lists (`curves.py`), wording (`page.py`).

A curve is judged step by step, from one value of a dial to the next, on the same users. What is monotone by
construction (relevance and style novelty of picks) must be so for every single user. Of what is measured on held-out
events, or made by a greedy choice, a step against the expected way is an inversion; it counts only where its paired
interval excludes zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.discovery.curves import Curve

FALLING = ("ndcg", "recall", "chance", "relevance")
RISING = ("diversity", "style_novelty")
BY_CONSTRUCTION = {"exploration": ("relevance", "style_novelty")}
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Step:
    """From one value of a dial to the next: the paired difference of a metric. `inverted`: against the expected way;
    `beyond_chance`: and its interval excludes zero. `users_against`: users for whom it goes the wrong way."""

    metric: str
    first: float
    second: float
    difference: Interval
    inverted: bool
    beyond_chance: bool
    users_against: int


@dataclass(frozen=True)
class Agreement:
    """How well the styles agree with what the sample shop knows of its items: normalised and chance-adjusted mutual
    information."""

    attribute: str
    nmi: float
    ami: float


@dataclass(frozen=True)
class NamedStyle:
    name: str
    size: int
    truth: float


@dataclass(frozen=True)
class MeasuredCurve:
    """`points`: metric -> an interval per value of the dial; `steps`: metric -> one per pair of neighbours; `prices`:
    metric -> what the value in force changes against 0, over the same users."""

    curve: Curve
    points: Mapping[str, Sequence[Interval]]
    steps: Mapping[str, Sequence[Step]]
    prices: Mapping[str, Interval]

    @property
    def users(self) -> int:
        return next(iter(self.curve.values.values())).shape[1]

    def at(self, metric: str, value: float) -> Interval:
        return self.points[metric][self.curve.at.index(value)]

    def broken(self) -> int:
        """Users and steps at which what is monotone by construction is not."""
        return sum(
            step.users_against
            for metric in BY_CONSTRUCTION.get(self.curve.dial, ())
            for step in self.steps.get(metric, ())
        )

    def inversions(self) -> list[Step]:
        """Steps against the expected way whose interval excludes zero."""
        return [step for steps in self.steps.values() for step in steps if step.beyond_chance]


@dataclass(frozen=True)
class DiscoveryReport:
    """Both curves, the styles by name, and where the truth is known, how they agree with it."""

    curves: Sequence[MeasuredCurve]
    styles: Sequence[NamedStyle]
    agreement: Sequence[Agreement]
    days: str

    def curve(self, dial: str) -> MeasuredCurve:
        return next(one for one in self.curves if one.curve.dial == dial)

    def records(self) -> list[dict[str, object]]:
        """Rows of `DISCOVERY_REPORT`."""
        return [
            {
                "dial": one.curve.dial,
                "at": at,
                "in_force": at == one.curve.in_force,
                "metric": metric,
                "k": one.curve.k,
                "value": point.value,
                "low": None if metric in one.curve.whole else point.low,
                "high": None if metric in one.curve.whole else point.high,
                "users": one.users,
            }
            for one in self.curves
            for metric, points in one.points.items()
            for at, point in zip(one.curve.at, points, strict=True)
        ]

    def figures(self) -> dict[str, float]:
        """The figures to publish: the curves' points, the prices, the agreement with the truth."""
        found: dict[str, float] = {}
        for row in self.records():
            key = f"discovery.{row['dial']}.{row['at']:g}.{row['metric']}@{row['k']}"
            found[key] = float(str(row["value"]))
        for one in self.curves:
            for metric, price in one.prices.items():
                key = f"discovery.{one.curve.dial}.price.{metric}"
                found |= {key: price.value, f"{key}.low": price.low, f"{key}.high": price.high}
            found[f"discovery.{one.curve.dial}.inversions"] = len(one.inversions())
            found[f"discovery.{one.curve.dial}.broken"] = one.broken()
        for one in self.agreement:
            found[f"discovery.styles.nmi.{one.attribute}"] = one.nmi
        if self.styles:
            found["discovery.styles.least_truth"] = min(one.truth for one in self.styles)
        return found


def measured(curve: Curve, *, draws: int, seed: int) -> MeasuredCurve:
    """The intervals and steps of a curve. Raises ValueError for one without users."""
    if not curve.values or next(iter(curve.values.values())).shape[1] == 0:
        raise ValueError(f"no user has lists at every value of the {curve.dial} dial")
    # One set of resamples for all figures, so that every difference is of the same people.
    d, flat = len(curve.at), np.concatenate(list(curve.values.values())).T
    means = resampled_means(np.asarray(flat, np.float64), draws, seed)
    points: dict[str, list[Interval]] = {}
    steps: dict[str, list[Step]] = {}
    prices: dict[str, Interval] = {}
    now, nought = curve.at.index(curve.in_force), curve.at.index(0.0)
    for place, (metric, values) in enumerate(curve.values.items()):
        mine = means[:, place * d : (place + 1) * d]
        points[metric] = [_interval(values[at], mine[:, at]) for at in range(d)]
        prices[metric] = _interval(values[now] - values[nought], mine[:, now] - mine[:, nought])
        if metric in FALLING or metric in RISING:
            steps[metric] = [_step(curve, metric, at, mine) for at in range(1, d)]
    points |= {name: [Interval(float(v), float(v), float(v)) for v in row] for name, row in curve.whole.items()}
    return MeasuredCurve(curve, points, steps, prices)


def _interval(values: NDArray[np.float64], means: NDArray[np.float64]) -> Interval:
    low, high = percentile_interval(means[:, None])
    return Interval(float(values.mean()), float(low[0]), float(high[0]))


def _step(curve: Curve, metric: str, at: int, means: NDArray[np.float64]) -> Step:
    sign = 1 if metric in FALLING else -1
    change = curve.values[metric][at] - curve.values[metric][at - 1]
    difference = _interval(change, means[:, at] - means[:, at - 1])
    against = sign * difference.value > _ROUNDING
    edge = difference.low if sign > 0 else -difference.high
    users = int((sign * change > _ROUNDING).sum())
    return Step(metric, curve.at[at - 1], curve.at[at], difference, against, against and edge > 0, users)


def agreement(style: NDArray[np.int64], truth: Mapping[str, NDArray]) -> list[Agreement]:
    """How well `style` (n,) agrees with each of the hidden attributes `truth` (n,)."""
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

    return [
        Agreement(
            name,
            float(normalized_mutual_info_score(values, style)),
            float(adjusted_mutual_info_score(values, style)),
        )
        for name, values in truth.items()
    ]
