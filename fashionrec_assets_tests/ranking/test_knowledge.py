"""What is known at a moment, against numbers computed on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.knowledge import DAY, WINDOWS, Knowledge
from fashionrec_assets_tests.ranking.conftest import NOW, A, B, C, D, E, F, World, without_prices


@pytest.mark.parametrize("late", [0, 1, DAY])
def test_an_event_at_or_after_the_moment_is_refused(hand: World, late: int) -> None:
    log = hand.log
    times = log.times.tolist()
    times[0] = NOW + late
    tampered = EventLog.build(
        log.user_ids.tolist(),
        log.item_ids.tolist(),
        log.users.tolist(),
        log.items.tolist(),
        times,
        log.behaviours.tolist(),
    )
    with pytest.raises(ValueError, match="at or after as_of"):
        hand.knowledge(log=tampered)
    assert hand.knowledge(log=tampered.between(None, NOW)).people.sum() == 4


def test_features_of_other_items_are_refused(hand: World) -> None:
    shorter = replace(hand, features=hand.features.take(np.arange(5)))
    with pytest.raises(ValueError, match="same order"):
        shorter.knowledge()


def test_popularity_is_counted_over_windows_before_the_moment(known_by_hand: Knowledge) -> None:
    assert WINDOWS == (1, 2, 4)
    assert known_by_hand.recent.tolist() == [[2, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [3, 1, 1, 0, 0, 0]]
    # Somebody who comes twice is one person.
    assert known_by_hand.people.tolist() == [2, 2, 1, 0, 0, 0]
    assert known_by_hand.warm.tolist() == [True, True, True, False, False, False]


def test_days_on_the_shelf_are_those_since_launch_else_since_the_first_event(known_by_hand: Knowledge) -> None:
    shelf = known_by_hand.shelf_days
    assert shelf[A] == 10  # launched long before the first event
    assert shelf[B] == 6  # no launch: its first event
    assert shelf[C] == 0  # sold before it was launched, says the catalog
    assert shelf[E] == 2
    assert shelf[D] == shelf[F] == -1


def test_items_without_a_family_are_each_their_own(known_by_hand: Knowledge) -> None:
    codes = known_by_hand.families.codes
    assert codes[A] == codes[E]
    assert codes[B] == codes[D]
    assert len({int(codes[item]) for item in (A, B, C, F)}) == 4
    assert sorted(set(codes.tolist())) == list(range(4))
    # Both who took anything of a family count once.
    assert known_by_hand.families.people[codes].tolist() == [2, 2, 1, 2, 2, 0]


def test_a_group_that_the_catalog_lacks_is_every_item_alone(hand: World) -> None:
    bare = replace(hand, features=replace(hand.features, categories={}))
    assert sorted(bare.knowledge().families.codes.tolist()) == list(range(6))


def test_prices_are_logarithms_and_unknown_where_there_are_none(hand: World, known_by_hand: Knowledge) -> None:
    assert known_by_hand.price[[A, B, D, F]] == pytest.approx(np.log([10, 20, 40, 5]))
    assert np.isnan(known_by_hand.price[[C, E]]).all()
    assert np.isnan(without_prices(hand).knowledge().price).all()


def test_vectors_are_unit_or_zero(known_by_hand: Knowledge) -> None:
    assert np.linalg.norm(known_by_hand.text, axis=1) == pytest.approx([1, 1, 1, 0, 1, 1])
    assert np.linalg.norm(known_by_hand.image, axis=1) == pytest.approx([1, 0, 1, 1, 0, 1])
    assert known_by_hand.text[C] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert known_by_hand.has_image.tolist() == [True, False, True, True, False, True]


def test_the_newest_items_are_those_of_each_users_own_last_day(known_by_hand: Knowledge) -> None:
    assert known_by_hand.newest.toarray().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert known_by_hand.last_seen[:3].tolist() == [NOW - DAY // 2, NOW - DAY // 4, NOW - 6 * DAY]


def test_unknown_values_have_code_zero(known_by_hand: Knowledge) -> None:
    types = known_by_hand.categories["product_type"]
    assert types[F] == 0
    assert types[A] == types[B] == types[E] > 0
    assert 0 < types[C] == types[D] != types[A]


def test_a_history_without_events_is_no_error(hand: World) -> None:
    nothing = hand.knowledge(log=hand.log.between(None, 0))
    assert not nothing.warm.any()
    assert nothing.recent.sum() == 0
    assert nothing.shelf_days.tolist() == [10, -1, 0, -1, 2, -1]
