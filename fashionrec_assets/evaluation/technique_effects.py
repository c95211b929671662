"""What a technique adds, and whether that can be told from what was measured.

Belongs here: a paired difference, the rule that judges it, and the number of items that would settle it. Does not
belong here: measuring, and the sentences of the report (`retrieval_report.py`).

The rule looks only at the 95 % interval of the difference and at `worth`, the smallest gain worth having:

* the interval lies below zero: the technique *harms*;
* it ends below `worth`, and there are enough queries to say so: the technique *does not pay*, whether or not a smaller
  gain is there;
* it lies above zero: the technique *pays*;
* otherwise one *cannot tell*.

How many items would settle it. The standard error of a mean over n queries shrinks with the square root of n, so with
m queries it is se * sqrt(n / m). An effect d is separated from zero with 95 % confidence in 80 % of such samples if it
is z = 1.96 + 0.84 = 2.80 standard errors away from zero, hence m = n * (2.80 * se / |d|)^2. If |d| is below `worth`,
the question that can be settled is whether the gain is worth having: m = n * (2.80 * se / (worth - d))^2. Where hardly
a query differs, resampling knows too little of what was not seen; by the rule of three, n families without a case leave
a share of up to 3 / n (Hanley and Lippman-Hand 1983), so that it takes at least 3 / worth of them to say that a
technique does not pay. Queries are taken to grow in step with the catalog.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.retrieval import Metric

Technique = Literal["tuned", "grounded", "clarified"]
Judgement = Literal["pays", "does_not_pay", "harms", "cannot_tell"]

TECHNIQUES: tuple[Technique, ...] = ("tuned", "grounded", "clarified")
TECHNIQUE_TITLES: Final[Mapping[Technique, str]] = {
    "tuned": "Fine-tuning",
    "grounded": "Grounding",
    "clarified": "Clarified text",
}
POWER = 0.8
SEPARABLE = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)
"""Standard errors between an effect and zero for 95 % confidence with 80 % power: 2.80."""


@dataclass(frozen=True)
class Effect:
    """One metric with a technique (`first`) less without it (`second`), over the same queries.

    `setting`: "added_last" takes the technique out of the arm with everything, "added_first" adds it to the original.
    `trained`: both arms were fine-tuned, each with what it reads. `error` is the standard error of the difference.
    """

    technique: Technique
    setting: Literal["added_last", "added_first"]
    task: str
    slice: str
    metric: str
    k: int
    first: Interval
    second: Interval
    difference: Interval
    error: float
    queries: int
    units: int
    trained: bool

    @property
    def apart(self) -> bool:
        """Whether the two arms' own intervals do not overlap: more than a difference above zero."""
        return not self.first.overlaps(self.second)


def find_effect(
    effects: Sequence[Effect], technique: str, setting: str, task: str, slice_name: str, metric: Metric
) -> Effect | None:
    """The one effect of that description, or None if it was not measured."""
    wanted = (technique, setting, task, slice_name, *metric)
    return next((e for e in effects if (e.technique, e.setting, e.task, e.slice, e.metric, e.k) == wanted), None)


def judge(effect: Effect, worth: float) -> Judgement:
    """The rule of this module's docstring; `worth` is positive."""
    gap = effect.difference
    if gap.high < 0:
        return "harms"
    if gap.high < worth and effect.units > 3 / worth:
        return "does_not_pay"
    return "pays" if gap.low > 0 else "cannot_tell"


def queries_needed(effect: Effect, worth: float) -> int:
    """How many queries of this kind would settle a question that `judge` leaves open, rounded up to two digits."""
    gap = effect.difference.value
    distance = abs(gap) if abs(gap) >= worth else worth - gap
    needed = effect.queries * (SEPARABLE * effect.error / distance) ** 2
    least = 0 if abs(gap) >= worth else 3 / worth * effect.queries / effect.units
    return _rounded_up(max(needed, least, effect.queries + 1))


def queries_to_part(effect: Effect) -> int | None:
    """How many queries would keep the two arms' own intervals from overlapping, if the figures stayed as they are.

    The intervals' ends that face each other come closer to the figures with the square root of the number of queries.
    None if there is no difference.
    """
    low, high = sorted((effect.first, effect.second), key=lambda interval: interval.value)
    gap = high.value - low.value
    if gap <= 0:
        return None
    facing = (low.high - low.value) + (high.value - high.low)
    return _rounded_up(max(effect.queries * (facing / gap) ** 2, effect.queries + 1))


def is_about_zero(effect: Effect, worth: float) -> bool:
    """Whether the observed effect is smaller than what would be worth having."""
    return abs(effect.difference.value) < worth


def _rounded_up(count: float) -> int:
    unit = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return math.ceil(count / unit - 1e-9) * unit
