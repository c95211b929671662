"""Features of pairs, against numbers computed on paper, and what they must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.ranking.features import COUNTS, NAMES, SHARES, Pairs, _ranks, pairs_of
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets_tests.ranking.conftest import (
    SETTINGS,
    USERS,
    A,
    B,
    C,
    D,
    E,
    World,
    everything,
    unseen,
    without_prices,
)

SOME = np.array([0, 13, 14, 40, 41, USERS, USERS - 1], np.int32)
LN = np.log


def first_user(known: Knowledge, *, own: bool = True) -> dict[tuple[str, int], float]:
    """(feature, item) -> value of the candidates of the user who took `a` half a day and `b` three days ago."""
    users = np.array([0], np.int32)
    pairs = pairs_of(known, users, everything(known, users) if own else unseen(known, users), SETTINGS)
    return {
        (name, int(item)): float(row[at])
        for item, row in zip(pairs.items, pairs.values, strict=True)
        for at, name in enumerate(NAMES)
    }


def column(pairs: Pairs, name: str) -> np.ndarray:
    return pairs.values[:, NAMES.index(name)]


def test_names_are_unique_and_counts_are_among_them() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(COUNTS) < set(NAMES)


def test_every_feature_says_something(known_with_tower: Knowledge) -> None:
    users = np.arange(40, dtype=np.int32)
    pairs = pairs_of(known_with_tower, users, unseen(known_with_tower, users), SETTINGS)
    assert pairs.values.shape == (len(pairs.items), len(NAMES))
    assert np.isfinite(pairs.values).all()
    silent = [name for name in NAMES if len(np.unique(column(pairs, name))) < 2]
    # The catalog of this world has no patterns, genders and brands; every own family has been touched.
    assert set(silent) <= {"share_pattern", "share_gender", "share_brand"}


def test_candidates_are_those_that_are_available(known: Knowledge) -> None:
    pairs = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    assert unseen(known, SOME)[pairs.owner, pairs.items].all()
    assert (np.diff(pairs.owner) >= 0).all()


def test_shares_of_the_history(known_by_hand: Knowledge) -> None:
    found = first_user(known_by_hand)
    assert found["share_product_type", E] == 1  # both of the user's items are dresses
    assert found["share_product_type", D] == 0
    assert found["share_section", C] == found["share_section", D] == 0.5
    assert found["share_family_id", E] == 0.5
    assert found["share_family_id", C] == 0  # no family is nobody's taste
    assert all(found[f"share_{name}", C] == 0 for name in SHARES if name not in known_by_hand.categories)


def test_a_price_gap_is_the_difference_of_logarithms_to_what_the_user_has(
    hand: World, known_by_hand: Knowledge
) -> None:
    found = first_user(known_by_hand)
    mean = (LN(10) + LN(20)) / 2
    assert found["price_gap", D] == pytest.approx(LN(40) - mean)
    assert found["price_gap", A] == pytest.approx(LN(10) - mean)
    assert found["price_gap", C] == found["price_gap", E] == 0  # of unknown price
    silent = first_user(without_prices(hand).knowledge())
    assert all(value == 0 for (name, _), value in silent.items() if name == "price_gap")


def test_item_knn_at_every_level(known_by_hand: Knowledge) -> None:
    found = first_user(known_by_hand)
    a_and_c = 1 / ((2 * 1) ** 0.2 + 10)  # one took both; two took a, one took c
    a_and_b = 1 / ((2 * 2) ** 0.2 + 10)
    assert found["item_knn", C] == pytest.approx(a_and_c)
    assert found["item_knn", A] == found["item_knn", B] == pytest.approx(a_and_b)  # an item says nothing of itself
    assert found["item_knn", D] == 0
    assert found["item_knn_cosine", C] == pytest.approx(1 / (2**0.5 + 3))
    assert found["item_knn_last_day", C] == pytest.approx(a_and_c)
    assert found["item_knn_last_day", A] == 0  # only a was taken on the last day
    assert found["item_knn_last_day", B] == pytest.approx(a_and_b)
    assert found["family_knn", E] == pytest.approx(a_and_b)  # the families of a and b were taken together
    assert found["content", D] == pytest.approx(0.8)
    assert found["content", A] == 0


def test_popularity_and_age_of_items_and_their_groups(known_by_hand: Knowledge) -> None:
    found = first_user(known_by_hand)
    assert [found[f"events_{days}d", A] for days in (1, 2, 4)] == [2, 3, 3]
    assert found["people", A] == 2
    assert found["trend", A] == pytest.approx((2 + 1) / (2 / 4 + 1))
    assert found["family_people", E] == 2
    assert found["family_people", A] == 0  # the rest of the family, without the item
    assert found["family_events_1d", E] == 2
    assert found["family_events_1d", A] == 0
    assert found["family_size", E] == 2
    assert found["family_size", C] == 1
    assert found["type_people", E] == pytest.approx(4 / 3)
    assert found["type_new_share", E] == pytest.approx(1 / 3)
    assert found["section_people", D] == pytest.approx(2 / 3)
    assert found["shelf_days", E] == 2
    assert found["warm", C] == 1
    assert found["warm", E] == 0
    assert found["history_items", C] == 2
    assert found["days_since_last_event", C] == 0.5


def test_likeness_to_what_the_user_has_leaves_the_item_itself_out(known_by_hand: Knowledge) -> None:
    found = first_user(known_by_hand)
    half = 0.5**0.5
    assert found["text_nearest", C] == pytest.approx(half)
    assert found["text_mean", C] == pytest.approx(half)
    assert found["text_nearest", E] == pytest.approx(1)
    assert found["text_mean", E] == pytest.approx(0.5)
    # Shown again, an own item is compared with the others: a and b have nothing in common.
    assert found["text_nearest", A] == 0
    assert found["text_mean", A] == 0
    assert found["image_nearest", A] == -1  # a is the only photo the user knows
    assert found["image_nearest", D] == pytest.approx(1)
    assert found["image_nearest", C] == pytest.approx(0)
    assert found["image_nearest", E] == -1  # without a photo
    assert found["has_image", E] == 0


def test_equal_values_share_the_better_rank() -> None:
    owner = np.array([0, 0, 0, 0, 1, 1, 3])
    ranks = _ranks(owner, np.array([5.0, 3, 5, 1, 2, 2, -7]))
    assert np.expm1(ranks) == pytest.approx([0, 2, 0, 3, 0, 0, 0])
    assert len(_ranks(np.zeros(0, np.int64), np.zeros(0))) == 0


def test_ranks_are_among_the_users_own_candidates(known: Knowledge) -> None:
    pairs = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    for at in range(len(SOME)):
        mine = pairs.owner == at
        knn, rank = column(pairs, "item_knn")[mine], column(pairs, "rank_item_knn")[mine]
        above = (knn[None, :] > knn[:, None]).sum(axis=1)
        assert rank == pytest.approx(np.log1p(above), abs=1e-6)


def test_without_a_tower_its_columns_are_zero(known: Knowledge, known_with_tower: Knowledge) -> None:
    names = [name for name in NAMES if "two_tower" in name]
    assert len(names) == 3
    without = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    assert not any(column(without, name).any() for name in names)
    with_it = pairs_of(known_with_tower, SOME, unseen(known, SOME), SETTINGS)
    assert all(column(with_it, name).any() for name in names)


def test_the_towers_columns_are_its_scores(known_with_tower: Knowledge) -> None:
    known = known_with_tower
    pairs = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    assert known.tower is not None
    scores = known.tower.users.score(SOME)
    assert column(pairs, "two_tower") == pytest.approx(scores[pairs.owner, pairs.items], abs=1e-5)
    below = column(pairs, "two_tower_below_best")
    for at in range(len(SOME)):
        assert below[pairs.owner == at].min() == pytest.approx(0, abs=1e-5)


def test_a_pair_does_not_depend_on_who_shares_its_block(known_with_tower: Knowledge) -> None:
    known = known_with_tower
    together = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    for at, user in enumerate(SOME):
        users = np.array([user], np.int32)
        alone = pairs_of(known, users, unseen(known, users), SETTINGS)
        mine = together.owner == at
        assert np.array_equal(together.items[mine], alone.items)
        assert np.abs(together.values[mine] - alone.values).max(initial=0) < 1e-5


def test_features_name_neither_item_nor_user(world: World, known: Knowledge) -> None:
    """A renamed shop has the same features."""
    renamed = replace(
        world,
        log=replace(
            world.log, item_ids=np.char.add("x", world.log.item_ids), user_ids=np.char.add("y", world.log.user_ids)
        ),
        features=replace(world.features, item_ids=np.char.add("x", world.features.item_ids)),
    )
    one = pairs_of(known, SOME, unseen(known, SOME), SETTINGS)
    other = pairs_of(renamed.knowledge(), SOME, unseen(known, SOME), SETTINGS)
    assert np.array_equal(one.values, other.values)
