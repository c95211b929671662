"""Lists of candidates, and the NDCG of a ranking of them, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.ranking import lists as room
from fashionrec_assets.ranking.lists import joined, ndcg
from fashionrec_assets_tests.ranking.learned import EACH, made


def test_ndcg_counts_targets_that_are_no_candidates() -> None:
    lists = replace(made(people=2), targets=np.array([2, 1]))
    scores = np.where(lists.taken, 1, 0).astype(np.float32)
    scores[EACH:] *= -1  # the second person's is last
    first = 1 / (1 + 1 / np.log2(3))
    last = 1 / np.log2(EACH + 1)
    assert ndcg(lists, scores) == pytest.approx((first + last) / 2)
    assert ndcg(lists, scores, k=EACH - 1) == pytest.approx(first / 2)


@pytest.mark.parametrize("rows", [7, 10_000])
def test_ndcg_is_that_of_sorted_lists_ties_included(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(room, "_ROWS", rows)
    lists, rng = made(people=40), np.random.default_rng(5)
    taken = lists.taken | (rng.random(len(lists.owner)) < 0.2)
    lists = replace(lists, taken=taken, targets=np.bincount(lists.owner[taken], minlength=40) + 1)
    scores = rng.integers(0, 4, len(lists.owner)).astype(np.float32)
    counted = rng.random(len(scores)) < 0.7
    gains = np.zeros(40)
    for user in range(40):
        mine = np.flatnonzero(lists.owner == user)
        first = mine[np.argsort(-scores[mine], kind="stable")][:5]
        hits = taken[first] & counted[first]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(5, lists.targets[user])))
        gains[user] = (hits / np.log2(np.arange(5) + 2)).sum() / ideal
    assert 0.1 < gains.mean() < 0.9
    assert ndcg(lists, scores, k=5, counted=counted) == pytest.approx(gains.mean(), abs=1e-12)


def test_two_windows_keep_their_users_apart() -> None:
    one, other = made(1, people=3), made(2, people=2, first=1)
    both = joined([one, other])
    assert both.people.tolist() == [0, 1, 2, 1, 2]
    assert both.owner.tolist() == np.repeat(np.arange(5), EACH).tolist()
    assert np.array_equal(both.values[3 * EACH :], other.values)
    assert np.array_equal(both.taken, np.concatenate([one.taken, other.taken]))
    assert both.targets.tolist() == [1] * 5
    assert np.array_equal(both.of_users(np.arange(5) == 3), np.repeat(np.arange(5) == 3, EACH))
