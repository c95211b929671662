from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.synthesis.rows import TrainingRows, training_rows, user_content
from fashionrec_assets_tests.synthesis.conftest import LIKES, USERS, World


def test_positives_are_the_distinct_pairs_at_their_first_time() -> None:
    log = EventLog.build(["a", "b"], ["p", "q", "r"], [0, 0, 0, 1], [1, 1, 0, 2], [30, 10, 20, 5], [0, 3, 0, 0])
    rows = training_rows(log, np.ones(3, np.bool_), negatives=0, seed=1)
    assert list(zip(rows.users, rows.items, rows.times, strict=True)) == [(0, 0, 20), (0, 1, 10), (1, 2, 5)]
    assert rows.labels.tolist() == [1, 1, 1]


def test_negatives_are_new_available_and_distinct(tastes: World) -> None:
    rows = training_rows(tastes.log, tastes.content.available, negatives=2, seed=1)
    liked = rows.labels > 0.5
    pairs = set(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
    assert len(pairs) == len(rows)
    assert (~liked).sum() == 2 * liked.sum()
    assert not np.isin(rows.items[~liked], tastes.future).any()
    assert np.isin(rows.items[~liked], tastes.cold).any()
    # Each bears the time of a positive of its user.
    moments = set(zip(rows.users[liked].tolist(), rows.times[liked].tolist(), strict=True))
    assert set(zip(rows.users[~liked].tolist(), rows.times[~liked].tolist(), strict=True)) <= moments


def test_half_of_the_negatives_follow_popularity() -> None:
    # Item 0 is liked by half of the people, item 1 by one, the other 98 by nobody.
    users = [*range(100), 100]
    log = EventLog.build(
        [f"{n:04}" for n in range(200)], [f"{n:04}" for n in range(100)], users, [0] * 100 + [1], [1] * 101, [0] * 101
    )
    more = EventLog.build(
        log.user_ids.tolist(),
        log.item_ids.tolist(),
        [*users, *range(100, 200)],
        [*log.items.tolist(), *[2] * 100],
        [1] * 201,
        [0] * 201,
    )
    rows = training_rows(more, np.ones(100, np.bool_), seed=1)
    drawn = rows.items[rows.labels < 0.5]
    # Uniformly alone, two of a hundred items would get about 2 % of the negatives.
    assert 0.35 < np.isin(drawn, [0, 2]).mean() < 0.65


def test_people_who_have_everything_get_no_negatives() -> None:
    log = EventLog.build(["a", "b"], ["p", "q"], [0, 0, 1], [0, 1, 0], [1, 2, 3], [0, 0, 0])
    rows = training_rows(log, np.ones(2, np.bool_), seed=1)
    negatives = rows.take(rows.labels < 0.5)
    assert list(zip(negatives.users, negatives.items, negatives.times, strict=True)) == [(1, 1, 3)]


def test_rows_are_the_same_by_seed(tastes: World) -> None:
    one, same, other = (training_rows(tastes.log, tastes.content.available, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.items, same.items)
    assert not np.array_equal(one.items, other.items)


def test_availability_must_fit_the_log(tastes: World) -> None:
    with pytest.raises(ValueError, match="available has 3 rows"):
        training_rows(tastes.log, np.ones(3, np.bool_), seed=1)


def test_a_user_is_described_without_the_answer() -> None:
    rows = TrainingRows(
        np.array([0, 0, 0, 1, 1], np.int32),
        np.array([0, 1, 2, 3, 0], np.int32),
        np.array([1, 1, 0, 1, 0], np.float32),
        np.array([10, 20, 20, 5, 5], np.int64),
    )
    values = np.array([[1, 0], [0, 1], [5, 5], [7, 7]], np.float32)
    mean, count = user_content(rows, values, np.ones(4, np.bool_))
    assert count.tolist() == [1, 1, 1, 0, 0]
    # The negative was drawn for the positive of its time, which is left out at both.
    assert mean.tolist() == [[0, 1], [1, 0], [1, 0], [0, 0], [0, 0]]


def test_the_description_does_not_give_the_label_away(tastes: World) -> None:
    _, count = user_content(tastes.rows, tastes.content.values, tastes.content.present)
    assert set(count.tolist()) == {LIKES - 1.0} or len(set(count.tolist())) <= 2
    liked = tastes.rows.labels > 0.5
    assert np.array_equal(np.unique(count[liked]), np.unique(count[~liked]))
    assert len(tastes.rows) <= 2 * USERS * LIKES


def test_items_without_content_do_not_describe_anybody() -> None:
    rows = TrainingRows(
        np.zeros(3, np.int32), np.arange(3, dtype=np.int32), np.ones(3, np.float32), np.arange(3, dtype=np.int64)
    )
    values = np.array([[2.0], [4.0], [99.0]], np.float32)
    mean, count = user_content(rows, values, np.array([True, True, False]))
    assert mean[:, 0].tolist() == [4, 2, 3]
    assert count.tolist() == [1, 1, 2]
