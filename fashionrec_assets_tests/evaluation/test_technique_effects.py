from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.technique_effects import (
    Effect,
    is_about_zero,
    judge,
    queries_needed,
    queries_to_part,
)

WORTH = 0.02


def effect(difference: float, error: float, queries: int = 200) -> Effect:
    gap = Interval(difference, difference - 1.96 * error, difference + 1.96 * error)
    first, second = Interval(0.5 + difference, 0.45, 0.55), Interval(0.5, 0.45, 0.55)
    return Effect(
        technique="grounded",
        setting="added_last",
        task="text_to_image",
        slice="all",
        metric="hits",
        k=5,
        first=first,
        second=second,
        difference=gap,
        error=error,
        queries=queries,
        units=queries,
        trained=True,
    )


@pytest.mark.parametrize(
    ("difference", "error", "said"),
    [
        (0.10, 0.02, "pays"),
        (-0.10, 0.02, "harms"),
        (0.03, 0.02, "cannot_tell"),
        (0.00, 0.02, "cannot_tell"),
        (0.00, 0.004, "does_not_pay"),
        (0.01, 0.002, "does_not_pay"),
        (-0.01, 0.002, "harms"),
        (0.019, 0.002, "pays"),
    ],
)
def test_the_interval_decides(difference, error, said):
    assert judge(effect(difference, error), WORTH) == said


def test_the_number_needed_follows_the_formula():
    # 2.80 standard errors: 200 * (2.8016 * 0.03 / 0.04)^2 = 883.
    assert queries_needed(effect(0.04, 0.03), WORTH) == 890
    # About zero: what can be settled is whether the gain reaches 0.02.
    assert queries_needed(effect(0.005, 0.03), WORTH) == pytest.approx(200 * (2.8016 * 0.03 / 0.015) ** 2, rel=0.05)
    assert is_about_zero(effect(0.005, 0.03), WORTH)
    assert not is_about_zero(effect(0.04, 0.03), WORTH)


def test_the_number_needed_grows_as_the_effect_shrinks():
    needed = [queries_needed(effect(difference, 0.05), WORTH) for difference in (0.08, 0.06, 0.04, 0.03)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]
    assert queries_needed(effect(0.04, 0.03), WORTH) > 200


def test_the_number_that_would_part_the_intervals():
    # Half-widths of 0.05 each face a gap of 0.08: 200 * (0.10 / 0.08)^2 = 312.5.
    gap = effect(0.08, 0.03)
    two = replace(gap, first=Interval(0.58, 0.53, 0.63), second=Interval(0.50, 0.45, 0.55))
    assert not two.apart
    assert queries_to_part(two) == 320
    assert queries_to_part(replace(two, first=two.second, second=two.first)) == 320
    assert queries_to_part(replace(two, first=two.second)) is None
    far = replace(two, first=Interval(0.7, 0.65, 0.75))
    assert far.apart


def test_arms_that_never_differ_need_the_rule_of_three():
    assert judge(effect(0, 0, queries=40), WORTH) == "cannot_tell"
    assert queries_needed(effect(0, 0, queries=40), WORTH) == 150
    assert judge(effect(0, 0, queries=400), WORTH) == "does_not_pay"
    # A single query that differs does not make the interval of the others any wiser.
    assert judge(effect(-0.004, 0.003, queries=100), WORTH) == "cannot_tell"


def test_with_the_number_needed_four_samples_in_five_settle_it():
    """The formula against simulated samples of that size."""
    rng = np.random.default_rng(5)
    true_gap = 0.08

    def sample(n: int) -> np.ndarray:
        return rng.choice([-1.0, 0.0, 1.0], p=[0.10, 0.72, 0.18], size=n)

    pilot = sample(20_000)
    assert pilot.mean() == pytest.approx(true_gap, abs=0.01)
    needed = queries_needed(effect(true_gap, float(pilot.std() / np.sqrt(100)), queries=100), WORTH)
    settled = 0
    for trial in range(200):
        low, _ = percentile_interval(resampled_means(sample(needed)[:, None], 200, trial), needed)
        settled += low[0] > 0
    assert 0.70 <= settled / 200 <= 0.90
