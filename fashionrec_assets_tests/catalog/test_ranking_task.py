from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import Cuts
from fashionrec_assets.catalog.ranking_task import ALWAYS, ranking_task, ranking_tasks
from fashionrec_assets_tests.evaluation.shop import CUTS, DAY, log_of, random_shop, random_tasks


def targets_by_user(task):
    return {
        int(user): task.target_items[task.target_offsets[row] : task.target_offsets[row + 1]].tolist()
        for row, user in enumerate(task.users)
    }


def test_targets_are_the_windows_new_items():
    log = log_of(
        [
            (0, 0, 1, "pv"),
            (0, 0, 10, "buy"),  # a repeat
            (0, 1, 10, "pv"),
            (0, 1, 11, "buy"),  # the same target, deeper
            (0, 2, 12, "pv"),  # after the window
            (1, 3, 10, "pv"),  # a user without history
            (2, 0, 2, "pv"),  # a user without targets
        ],
        n_users=3,
        n_items=5,
    )
    task = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY)
    assert targets_by_user(task) == {0: [1], 1: [3]}
    assert task.has_history.tolist() == [True, False]
    assert task.target_bits.tolist() == [0b1001, 0b0001]
    assert task.repeated_targets == 1
    assert task.warm.tolist() == [True, False, False, False, False]


def test_agrees_with_a_slow_reading_of_the_protocol():
    log, launched = random_shop(3)
    wanted = ("cart", "buy")
    task = ranking_task(log, name="test", start=CUTS.test, end=CUTS.end, target_behaviours=wanted, launched_at=launched)
    rows = list(zip(log.users, log.items, log.times, log.behaviours, strict=True))
    seen = {(u, i) for u, i, t, _ in rows if t < CUTS.test}
    expected: dict[int, set[int]] = {}
    for u, i, t, b in rows:
        fits = CUTS.test <= t < CUTS.end and b in (2, 3) and (u, i) not in seen
        if fits and (launched[i] < CUTS.end or any(item == i for _, item in seen)):
            expected.setdefault(int(u), set()).add(int(i))
    assert targets_by_user(task) == {user: sorted(items) for user, items in expected.items()}
    assert task.targets_outside_pool == len(
        {(u, i) for u, i, t, b in rows if t >= CUTS.test and b in (2, 3) and i == 39}
    )


def test_a_planted_future_marker_is_never_in_a_history():
    log, launched = random_shop()
    marker = log.n_items - 2
    for task in ranking_tasks(log, CUTS, launched_at=launched):
        assert task.history.times.max() < task.start
        assert marker not in task.history.items
        assert not task.warm[marker]
    validation, test = ranking_tasks(log, CUTS, launched_at=launched)
    assert validation.start < validation.end == test.start < test.end
    changed = log.select((log.times < CUTS.test) | (log.items % 2 == 0))
    again = ranking_tasks(changed, CUTS, launched_at=launched)
    for before, after in zip((validation, test), again, strict=True):
        for name in ("users", "items", "times", "behaviours"):
            assert np.array_equal(getattr(before.history, name), getattr(after.history, name))


def test_the_pool_is_what_is_launched_before_the_windows_end():
    log, launched = random_shop()
    validation, test = ranking_tasks(log, CUTS, launched_at=launched)
    assert np.flatnonzero(~validation.pool).tolist() == list(range(30, 40))
    assert np.flatnonzero(~test.pool).tolist() == [39]
    unknown = np.full(log.n_items, ALWAYS, dtype=np.int64)
    assert ranking_tasks(log, CUTS, launched_at=unknown)[0].pool.all()


def test_an_item_with_history_is_in_the_pool_whatever_the_catalog_says():
    log = log_of([(0, 0, 1, "pv"), (0, 1, 10, "pv")], 1, 2)
    late = np.full(2, 99 * DAY, dtype=np.int64)
    task = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY, launched_at=late)
    assert task.pool.tolist() == [True, False]
    assert task.targets_outside_pool == 1
    assert len(task.users) == 0


def test_slices_part_the_targets():
    _, test = random_tasks()
    overall = test.slice_masks("overall")
    warm, cold = test.slice_masks("warm")[1], test.slice_masks("cold")[1]
    assert warm.any()
    assert cold.any()
    assert np.array_equal(warm, ~cold)
    assert np.array_equal(test.slice_masks("cold_users")[0], ~overall[0])
    assert test.slice_masks("cold_users")[0].any()
    bought = test.slice_masks("buy")[1]
    assert 0 < bought.sum() < len(bought)
    assert "buy" in test.slices()


def test_a_log_of_purchases_alone_has_no_purchase_slice():
    log, _ = random_shop()
    task = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY, target_behaviours=("buy",))
    assert task.slices() == ("overall", "warm", "cold", "cold_users")
    purchases = log.select(log.behaviours == 3)
    task = ranking_task(purchases, name="test", start=10 * DAY, end=12 * DAY)
    assert task.slices() == ("overall", "warm", "cold", "cold_users")
    assert task.behaviours == ("buy",)


def test_sampling_is_seeded_and_keeps_both_kinds():
    log, launched = random_shop()

    def sample(seed):
        return ranking_tasks(log, CUTS, launched_at=launched, max_users=10, max_cold_users=3, seed=seed)[1]

    task = sample(1)
    assert (task.has_history.sum(), (~task.has_history).sum()) == (10, 3)
    assert task.eligible_users > 13
    assert np.array_equal(task.users, sample(1).users)
    assert not np.array_equal(task.users, sample(2).users)
    assert np.all(np.diff(task.users) > 0)
    everybody = targets_by_user(ranking_tasks(log, CUTS, launched_at=launched)[1])
    assert targets_by_user(task) == {int(user): everybody[int(user)] for user in task.users}


def test_excluded_users_are_not_evaluated_but_stay_in_the_history():
    log, launched = random_shop()
    bots = np.zeros(log.n_users, dtype=bool)
    bots[:5] = True
    task = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY, launched_at=launched, exclude_users=bots)
    assert task.users.min() >= 5
    assert task.history.users.min() < 5


def test_an_empty_window_is_a_task_without_users():
    log = log_of([(0, 0, 1, "pv")], 1, 1)
    task = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY)
    assert (len(task.users), len(task.target_items), task.target_offsets.tolist()) == (0, 0, [0])


def test_bad_arguments_are_refused():
    log, launched = random_shop()
    with pytest.raises(ValueError, match="in order"):
        Cuts(5, 5, 6)
    with pytest.raises(ValueError, match="target behaviours"):
        ranking_task(log, name="test", start=0, end=1, target_behaviours=("click",))
    with pytest.raises(ValueError, match="launched_at"):
        ranking_task(log, name="test", start=0, end=1, launched_at=launched[:-1])
    with pytest.raises(ValueError, match="exclude_users"):
        ranking_task(log, name="test", start=0, end=1, exclude_users=np.zeros(3, dtype=bool))
