"""Chances that hold on people the ranker never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.ranking.calibration import ANY, calibrate, chances
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets_tests.ranking.learned import BUY, CONTENT, EACH, PV, made


def test_probabilities_have_the_rate_and_the_order(trained: Ranker) -> None:
    lists = made(8)
    chances = trained.probabilities(lists.owner, lists.values)
    for name, label in ((ANY, lists.taken), ("pv", lists.taken), ("buy", (lists.bits & BUY) > 0)):
        assert ((chances[name] >= 0) & (chances[name] <= 1)).all()
        assert chances[name].mean() == pytest.approx(label.mean(), rel=0.25), name
        assert (chances[name] <= chances[ANY]).all()
    scores = trained.scores(lists.values, lift=False).reshape(-1, EACH)
    for row, chance in zip(scores, chances[ANY].reshape(-1, EACH), strict=True):
        assert (np.diff(chance[np.argsort(row)]) >= 0).all()


def test_calibration_is_exact_on_what_it_was_fitted_on() -> None:
    lists = made()
    scores = lists.values[:, CONTENT]
    for name, weights in calibrate(lists, scores).items():
        chance = chances({name: weights}, lists.owner, scores, lists.values)[name]
        label = lists.taken if name == ANY else (lists.bits & lists.behaviours[name]) > 0
        assert chance.mean() == pytest.approx(label.mean(), rel=0.01)


def test_a_behaviour_that_nobody_showed_has_no_probability() -> None:
    lists = made()
    viewed = replace(lists, bits=np.where(lists.taken, PV, 0).astype(np.uint8))
    assert set(calibrate(viewed, lists.values[:, CONTENT])) == {ANY, "pv"}
