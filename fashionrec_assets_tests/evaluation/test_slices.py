from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.evaluation.slices import FAMILIES, SLICE_NAMES, fine_slices
from fashionrec_assets_tests.evaluation.shop import DAY, log_of, random_tasks


@pytest.fixture(scope="module")
def task():
    return random_tasks(4)[1]


def counted(task, masks):
    """Targets of a slice."""
    users, targets = masks
    return users[task.target_rows] & targets


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_the_slices_of_a_family_are_all_targets_once(task, family):
    fine = fine_slices(task)
    names = [name for name in family.slices if name in fine]
    total = sum(counted(task, fine[name]).astype(int) for name in names)
    if "cold" in family.slices:
        total = total + counted(task, task.slice_masks("cold"))
    assert np.array_equal(total, task.has_history[task.target_rows].astype(int))


def test_history_length_counts_events():
    events = [(0, 0, 1, "pv")] + [(1, item, day, "pv") for day in range(3) for item in range(2)]
    log = log_of([*events, (0, 3, 9, "pv"), (1, 3, 9, "pv")], 2, 4)
    task = ranking_task(log, name="test", start=9 * DAY, end=10 * DAY)
    fine = fine_slices(task)
    assert fine["history_1"][0].tolist() == [True, False]
    assert fine["history_6_20"][0].tolist() == [False, True]
    assert "history_2_5" not in fine


def test_age_is_counted_from_the_first_event_to_the_cut():
    history = [(0, 0, 0, "pv"), (0, 1, 7, "pv"), (0, 2, 8, "pv"), (1, 0, 8, "pv")]
    future = [(1, 1, 9, "pv"), (1, 2, 9, "pv"), (0, 3, 9, "pv")]
    task = ranking_task(log_of(history + future, 2, 4), name="test", start=9 * DAY, end=10 * DAY)
    fine = fine_slices(task)

    def items(name):
        return set(task.target_items[counted(task, fine[name])].tolist())

    assert items("age_1d") == {2}
    assert items("age_3d") == {1}
    assert "age_older" not in fine, "item 0 is as old as the log, but nobody's target, and item 3 is cold"


def test_a_short_log_has_no_bucket_older_than_itself():
    log = log_of([(0, 0, 7, "pv"), (0, 1, 8, "pv"), (0, 2, 9, "pv")], 1, 4)
    history = [(0, 0, 7, "pv"), (1, 1, 8, "pv"), (0, 1, 9, "pv"), (1, 0, 9, "pv")]
    log = log_of(history, 2, 4)
    fine = fine_slices(ranking_task(log, name="test", start=9 * DAY, end=10 * DAY))
    assert {name for name in fine if name.startswith("age")} == {"age_1d", "age_older"}


def test_head_middle_and_tail_hold_a_third_of_the_events_each(task):
    fine = fine_slices(task)
    counts = np.bincount(task.history.items, minlength=task.n_items)
    least = {
        name: counts[task.target_items[counted(task, fine[name])]].min() for name in fine if name.startswith("pop")
    }
    most = {name: counts[task.target_items[counted(task, fine[name])]].max() for name in fine if name.startswith("pop")}
    assert least["popularity_head"] >= most["popularity_middle"]
    assert least["popularity_middle"] >= most["popularity_tail"] > 0


def test_every_slice_has_a_title():
    assert {name for family in FAMILIES for name in family.slices} <= set(SLICE_NAMES)
