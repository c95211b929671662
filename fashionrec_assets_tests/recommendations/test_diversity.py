from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.recommendations import diversity
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.diversity import POOL, Cap, intra_list_diversity, mmr, places


def pairs(
    seed: int = 0, users: int = 12, n: int = 80
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Some items for each user, in no order, with scores that tie now and then."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(users) * 3, rng.integers(1, n, users))
    items = np.concatenate([rng.choice(n, (owner == o).sum(), replace=False) for o in np.unique(owner)])
    order = rng.permutation(len(owner))
    return owner[order], items[order], np.round(rng.random(len(owner)), 1).astype(np.float32)


def vectors(n: int = 80, seed: int = 1) -> NDArray[np.float32]:
    return rounded_units(np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32))


def one_list(
    rows: NDArray[np.int64],
    items: NDArray[np.int64],
    scores: NDArray[np.float32],
    space: NDArray[np.float32],
    size: int,
    weight: float,
    caps: list[Cap],
) -> list[int]:
    """The definition, for one owner's pairs `rows`, item by item; the pool must hold them all."""
    unit = space / np.linalg.norm(space, axis=1, keepdims=True)
    low, high = float(scores[rows].min()), float(scores[rows].max())
    left = sorted(rows.tolist(), key=lambda row: (-scores[row], items[row]))
    chosen: list[int] = []
    while left and len(chosen) < size:

        def fits(row: int) -> bool:
            return all(
                cap.codes[items[row]] == 0
                or sum(cap.codes[items[other]] == cap.codes[items[row]] for other in chosen) < cap.limit
                for cap in caps
            )

        def value(row: int) -> float:
            relevance = (float(scores[row]) - low) / (high - low) if high > low else 1.0
            like = max((float(unit[items[row]] @ unit[items[other]]) for other in chosen), default=0.0)
            return (1 - weight) * relevance - weight * like

        left = [row for row in left if fits(row)]
        if not left:
            break
        best = max(left, key=lambda row: (round(value(row), 9), -left.index(row)))
        chosen.append(best)
        left.remove(best)
    return chosen


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("capped", [False, True])
def test_equals_the_definition(weight: float, capped: bool) -> None:
    owner, items, scores = pairs()
    # No value has more items than the pool takes of it: what lies below the pool is tested on its own.
    caps = [Cap(np.arange(80) % 8, 2), Cap((np.arange(80) * 7) % 4, 4)] if capped else []
    size = 80 // POOL
    found = mmr(owner, items, scores, vectors(), size, weight, caps)
    assert np.all(np.diff(owner[found]) >= 0)
    for one in np.unique(owner):
        rows = np.flatnonzero(owner == one)
        assert found[owner[found] == one].tolist() == one_list(rows, items, scores, vectors(), size, weight, caps)


def test_without_weight_it_is_the_order_by_score() -> None:
    owner, items, scores = pairs(seed=5)
    found = mmr(owner, items, scores, vectors(), 7, 0.0)
    for one in np.unique(owner):
        rows = sorted(np.flatnonzero(owner == one).tolist(), key=lambda row: (-scores[row], items[row]))
        assert found[owner[found] == one].tolist() == rows[:7]


def test_an_item_like_the_first_gives_way_to_another() -> None:
    space = rounded_units(np.array([[1, 0], [1, 0.01], [0, 1], [0, 0]], np.float32))
    owner, items = np.zeros(4, np.int64), np.arange(4)
    scores = np.array([1.0, 0.9, 0.5, 0.0])
    assert items[mmr(owner, items, scores, space, 3, 0.0)].tolist() == [0, 1, 2]
    assert items[mmr(owner, items, scores, space, 3, 0.5)].tolist() == [0, 2, 3]


def test_a_limit_is_met_from_below_the_pool() -> None:
    n = 400
    owner, items = np.zeros(n, np.int64), np.arange(n)
    brands = np.where(items < 390, 1, items)
    found = mmr(
        owner, items, -items.astype(float), rounded_units(np.eye(n, 8, dtype=np.float32)), 6, 0.2, [Cap(brands, 2)]
    )
    assert len(found) == 6
    assert items[found][:2].tolist() == [0, 1]
    assert brands[items[found]].tolist().count(1) == 2


def test_an_owners_list_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, items, scores = pairs(seed=8, users=30)
    caps = [Cap(np.arange(80) % 9, 3)]
    whole = mmr(owner, items, scores, vectors(), 6, 0.4, caps)
    for one in np.unique(owner)[::4]:
        rows = np.flatnonzero(owner == one)
        alone = mmr(owner[rows], items[rows], scores[rows], vectors(), 6, 0.4, caps)
        assert rows[alone].tolist() == whole[owner[whole] == one].tolist()
    monkeypatch.setattr(diversity, "_BLOCK_NUMBERS", 1)
    assert np.array_equal(mmr(owner, items, scores, vectors(), 6, 0.4, caps), whole)


def test_nothing_gives_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert len(mmr(none, none, none, vectors(), 5, 0.3)) == 0
    assert len(mmr(none, none, none, vectors(), 5, 0.0, [Cap(np.zeros(80, np.int64), 1)])) == 0
    owner, items, scores = pairs()
    assert len(mmr(owner, items, scores, vectors(), 0, 0.3)) == 0


def test_places_count_within_runs() -> None:
    assert places(np.array([4, 4, 7, 4, 4, 4])).tolist() == [0, 1, 0, 0, 1, 2]


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    space = np.array([[2, 0], [0, 3], [5, 0], [0, 0]], np.float32)
    owner, items = np.array([7, 2, 2, 2, 9, 9]), np.array([0, 0, 1, 2, 0, 3])
    found = intra_list_diversity(owner, items, space)
    np.testing.assert_allclose(found, [2 / 3, np.nan, 1.0])


def test_more_weight_makes_lists_more_diverse() -> None:
    owner, items, scores = pairs(seed=2, users=40)
    means = []
    for weight in (0.0, 0.3, 0.8):
        found = mmr(owner, items, scores, vectors(), 6, weight)
        means.append(np.nanmean(intra_list_diversity(owner[found], items[found], vectors())))
    assert means[0] < means[1] < means[2]
