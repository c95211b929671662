from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.evaluation.behaviours import BINS, BehaviourScores, behaviour_figures, reliability


def scores(chance, label, name="ranker"):
    return BehaviourScores(name, "The ranker", "some pairs", {"buy": (np.asarray(chance), np.asarray(label, bool))})


def test_probabilities_that_are_true_are_calibrated():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 1, 20_000)
    came = rng.uniform(size=len(chance)) < chance
    (figures,) = behaviour_figures([scores(chance, came)])
    assert figures.calibration_error < 0.02
    assert figures.auc == pytest.approx(5 / 6, abs=0.01)
    assert figures.log_loss < figures.base_log_loss
    assert len(figures.bins) == BINS
    assert sum(part.pairs for part in figures.bins) == len(chance)


def test_boasting_is_found_out_and_changes_no_order():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0, 0.5, 20_000)
    came = rng.uniform(size=len(chance)) < chance
    honest, boastful = behaviour_figures([scores(chance, came), scores(2 * chance, came, "boaster")])
    assert boastful.auc == honest.auc
    assert boastful.calibration_error == pytest.approx(0.25, abs=0.02)
    assert boastful.log_loss > honest.log_loss


def test_the_error_is_the_mean_distance_of_bins():
    chance, label = np.array([0.1] * 4 + [0.9] * 4), np.array([0, 0, 0, 1, 1, 1, 0, 0], bool)
    bins = reliability(chance, label, 2)
    assert [(part.foretold, part.came, part.pairs) for part in bins] == [
        (pytest.approx(0.1), 0.25, 4),
        (pytest.approx(0.9), 0.5, 4),
    ]
    (figures,) = behaviour_figures([scores(chance, label)])
    assert figures.calibration_error == pytest.approx((0.15 + 0.4) / 2)


def test_equal_probabilities_share_a_bin():
    bins = reliability(np.full(100, 0.2), np.arange(100) < 20)
    assert [(part.pairs, part.came) for part in bins] == [(100, 0.2)]


def test_a_behaviour_with_one_label_only_has_no_figures():
    assert behaviour_figures([scores([0.1, 0.2], [False, False]), scores([0.1, 0.2], [True, True])]) == ()


@pytest.mark.parametrize(
    ("chance", "label", "words"), [([0.5, 1.5], [1, 0], "in \\[0, 1\\]"), ([0.5], [1, 0], "one each")]
)
def test_refuses_what_is_no_probability(chance, label, words):
    with pytest.raises(ValueError, match=words):
        behaviour_figures([scores(chance, label)])
