"""Whether the cited events carried the recommendation: what happens to the score once they have never happened.

Belongs here: which events are taken away, against which others, and the figures. Does not belong here: scoring (the
full ranker does, and is given).

The test is erasure against a random control (DeYoung et al., "ERASER", ACL 2020, "comprehensiveness"; here on inputs of
a recommender rather than words): taking away what an explanation cites must cost the item more than taking away as many
other events of the same user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means

LEAST_RATIO = 3.0
"""What cited events must cost, in times of what random ones do."""


@dataclass(frozen=True)
class Question:
    """The score of `item` for `user` without the user's events on the items `removed`; all are rows of the log."""

    user: int
    item: int
    removed: tuple[int, ...] = ()


Score = Callable[[Sequence[Question]], NDArray[np.float64]]
"""The log of the item's share among the user's candidates, for each of the questions (q,), by the full ranker.

Item-level statistics stay as they are; whatever the ranker reads of the user is computed again. Not finite where it
cannot be told.
"""


@dataclass(frozen=True)
class Trial:
    """A recommendation whose explanation cites the user's events on the items `cited`; they have `others` besides."""

    user: int
    item: int
    cited: tuple[int, ...]
    others: tuple[int, ...]

    @property
    def has_control(self) -> bool:
        return 0 < len(self.cited) <= len(self.others)


@dataclass(frozen=True)
class Faithfulness:
    """Mean drops over trials, in natural log units, when cited and as many random events are taken away.

    A drop below 0 is a rise: a history without an event that spoke for other items. `ratio` of the two means; it is
    infinite where random events cost nothing. `margin` is the drop of the cited less `LEAST_RATIO` times that of the
    random ones, where that is a drop: the bar is met where its interval lies above 0. `size_ratio` is of mean sizes,
    drops and rises alike. `without_control`: explanations left out because they cite more than half of the user's
    items. `drops` (t, 2) by trial.
    """

    cited: Interval
    random: Interval
    ratio: Interval
    margin: Interval
    size_ratio: Interval
    trials: tuple[Trial, ...]
    drops: NDArray[np.float64]
    without_control: int
    draws: int


def counterfactual(
    trials: Sequence[Trial], score: Score, *, draws: int, seed: int, bootstrap: int = 1000
) -> Faithfulness | None:
    """Ask for scores without cited, and `draws` times without as many random other items; None without any trial.

    Random items depend on `seed`, user and item, not on the other trials. Intervals draw users.
    """
    asked = [one for one in trials if one.has_control]
    if not asked:
        return None
    questions: list[Question] = []
    for one in asked:
        rng = np.random.default_rng([seed, one.user, one.item])
        controls = [rng.choice(one.others, len(one.cited), replace=False).tolist() for _ in range(draws)]
        removals = [(), one.cited, *(tuple(sorted(map(int, control))) for control in controls)]
        questions += [Question(one.user, one.item, removed) for removed in removals]
    scores = np.asarray(score(questions), dtype=np.float64).reshape(len(asked), 2 + draws)
    told = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if not len(told):
        return None
    kept, scores = [asked[at] for at in told.tolist()], scores[told]
    changes = scores[:, :1] - scores[:, 1:]
    drops = np.column_stack([changes[:, 0], changes[:, 1:].mean(axis=1)])
    sizes = np.column_stack([np.abs(changes[:, 0]), np.abs(changes[:, 1:]).mean(axis=1)])
    means = resampled_means(np.hstack([drops, sizes]), bootstrap, seed, clusters=[one.user for one in kept])
    value = np.hstack([drops.mean(axis=0), sizes.mean(axis=0)])
    low, high = percentile_interval(np.column_stack([means[:, :2], _margin(means)]))
    cited, random = (Interval(float(value[at]), float(low[at]), float(high[at])) for at in (0, 1))
    margin = Interval(float(_margin(value[None])[0]), float(low[2]), float(high[2]))
    return Faithfulness(
        cited,
        random,
        _ratio_interval(value[:2], means[:, :2]),
        margin,
        _ratio_interval(value[2:], means[:, 2:]),
        tuple(kept),
        drops,
        len(trials) - len(asked),
        draws,
    )


def _margin(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """A random rise does not make it easier to meet the bar."""
    return means[:, 0] - LEAST_RATIO * np.maximum(means[:, 1], 0.0)


def _ratio_interval(value: NDArray[np.float64], means: NDArray[np.float64]) -> Interval:
    """The ratio of two means, with the percentiles of that of their resamples."""
    ratios = np.sort([_ratio(float(one), float(two)) for one, two in means])
    last = len(ratios) - 1
    # No interpolation: between a number and infinity there is nothing to interpolate.
    low, high = ratios[math.floor(0.025 * last)], ratios[math.ceil(0.975 * last)]
    return Interval(_ratio(float(value[0]), float(value[1])), float(low), float(high))


def _ratio(cited: float, random: float) -> float:
    if random > 0:
        return cited / random
    return math.inf if cited > 0 else 0.0
