"""What the networks read of features, seen from the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.lists import joined
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.training import train_ranker
from fashionrec_assets_tests.ranking.learned import QUICK, made


@pytest.mark.parametrize("constant", [0.0, 1000.1])
def test_what_never_varies_has_no_influence_where_it_does(constant: float) -> None:
    lists = made(people=60)
    big = joined([replace(lists, values=lists.values.copy()) for _ in range(30)])
    shelf, photo = NAMES.index("shelf_days"), NAMES.index("has_image")
    big.values[:, shelf], big.values[:, photo] = constant, 1
    found = train_ranker(big, QUICK.model_copy(update={"epochs": 1, "batch_size": 256}), seed=0)
    elsewhere = made(6).values
    elsewhere[:, shelf], elsewhere[:, photo] = constant, 1
    changed = elsewhere.copy()
    changed[:, shelf], changed[:, photo] = np.linspace(0, 3000, len(changed)), 0
    assert np.abs(found.scores(changed) - found.scores(elsewhere)).max() < 1e-4


def test_one_absurd_number_does_not_carry_the_score_away(trained: Ranker) -> None:
    values = made(6).values
    huge = values.copy()
    huge[:, NAMES.index("people")] = 1e12
    huge[:, NAMES.index("price_gap")] = -1e12
    scores = trained.scores(huge)
    assert np.isfinite(scores).all()
    spread = np.ptp(trained.scores(values))
    assert np.abs(scores - trained.scores(values)).max() < 5 * spread
