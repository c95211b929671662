"""Taking cited events away, against taking others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.evaluation.explanations.counterfactual import Question, Trial, counterfactual
from fashionrec_assets.evaluation.explanations.inputs import trials
from fashionrec_assets.recommendations.explanations.facts import Fact
from fashionrec_assets_tests.evaluation.explanations.made import made


def additive(weights: NDArray[np.float64]):
    """A ranker in which each event of the history adds its item's weight."""
    asked: list[Question] = []

    def score(questions: Sequence[Question]) -> NDArray[np.float64]:
        asked.extend(questions)
        return np.array([10 - weights[list(one.removed)].sum() for one in questions])

    return score, asked


def ask(score, *, users: int = 30, draws: int = 4, cited: tuple[int, ...] = (0, 1)):
    others = tuple(at for at in range(10) if at not in cited)
    return counterfactual(
        [Trial(user, 99, cited, others) for user in range(users)], score, draws=draws, seed=5, bootstrap=200
    )


def test_drops_are_those_of_the_model_and_the_ratio_is_theirs() -> None:
    weights = np.full(10, 0.1)
    weights[:2] = 0.5
    score, asked = additive(weights)
    found = ask(score)
    assert found is not None
    assert found.cited.value == pytest.approx(1.0)
    assert found.random.value == pytest.approx(0.2)
    assert found.ratio.value == pytest.approx(5.0)
    assert found.margin.value == pytest.approx(1.0 - 3 * 0.2)
    assert found.margin.low > 0
    removals = [one.removed for one in asked[:6]]
    assert removals[:2] == [(), (0, 1)]
    assert all(len(set(one)) == 2 and not {0, 1} & set(one) for one in removals[2:])


def test_explanations_at_random_fail_the_bar() -> None:
    score, _ = additive(np.random.default_rng(1).uniform(0.1, 0.3, 10))
    found = ask(score)
    assert found is not None
    assert found.margin.high < 0


def test_a_rise_without_random_events_does_not_help_to_meet_the_bar() -> None:
    weights = np.full(10, -0.5)
    weights[:2] = 0.01
    found = ask(additive(weights)[0])
    assert found is not None
    assert np.isinf(found.ratio.value)
    assert found.margin.value == pytest.approx(0.02)
    assert found.size_ratio.value == pytest.approx(0.02)


def test_a_user_s_control_does_not_depend_on_others() -> None:
    _, first = score, asked = additive(np.full(10, 0.1))
    ask(score, users=3)
    again, later = additive(np.full(10, 0.1))
    counterfactual([Trial(2, 99, (0, 1), tuple(range(2, 10)))], again, draws=4, seed=5, bootstrap=10)
    assert later == [one for one in first if one.user == 2]
    assert asked is first


def test_without_a_control_or_a_score_there_is_no_trial() -> None:
    score, _ = additive(np.full(10, 0.1))
    few = Trial(0, 9, (0, 1, 2), (3, 4))
    assert counterfactual([few], score, draws=2, seed=0) is None
    both = counterfactual([few, Trial(1, 9, (0,), (3, 4))], score, draws=2, seed=0, bootstrap=10)
    assert both is not None and both.without_control == 1 and len(both.trials) == 1
    assert counterfactual([Trial(1, 9, (0,), (3,))], lambda q: np.full(len(q), np.nan), draws=2, seed=0) is None


def test_trials_are_rows_of_the_log_and_only_what_the_user_turned_to() -> None:
    log = EventLog.build(["a", "b"], ["i0", "i1", "i2", "i3"], [0, 0, 0, 1], [0, 1, 2, 3], [1, 2, 3, 4], [0] * 4)
    facts = [
        Fact("f1", "history", item="i1", weight=1),
        Fact("f2", "history", item="i3"),
        Fact("f3", "look", item="i0"),
    ]
    said = {"f1": "x", "f2": "x", "f3": "x"}
    citing = [
        made(["f1", "f2", "f3"], subject="a", item="i3", facts=facts, said=said),
        made(["f2"], subject="a", item="i3", facts=facts, said=said),
        made(["f1"], subject="gone", item="i3", facts=facts, said=said),
        made(["f1"], subject="a", item="gone", facts=facts, said=said),
    ]
    assert trials(citing, log) == [Trial(0, 3, (1,), (0, 2))]
