"""Scores without parts of a history: against the same computed from a log that never had them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.candidates import Scores
from fashionrec_assets.ranking.counterfactual import (
    GROUPS,
    Drops,
    leave_one_out,
    log_shares,
    neutralised,
)
from fashionrec_assets.ranking.features import NAMES, values_of
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender, RankedBlock, lists_of
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.shortened import features_without, histories_without
from fashionrec_assets.ranking.training import train_ranker
from fashionrec_assets_tests.ranking.conftest import SETTINGS, World

USERS = np.array([3, 4, 11, 50, 51], np.int64)
TOP = 12
LAST_DAY = NAMES.index("item_knn_last_day")


@pytest.fixture(scope="module")
def tower_ranker(world: World, known_with_tower: Knowledge) -> Ranker:
    return train_ranker(lists_of(world.task(), known_with_tower, SETTINGS), SETTINGS, seed=1)


def block_of(known: Knowledge, ranker: Ranker, users: NDArray[np.int64] = USERS) -> RankedBlock:
    fusion = LateFusionRecommender(ranker, known, SETTINGS)
    (block,) = fusion.ranked(users, [np.zeros(0, np.int64)] * len(users))
    return block


def top_rows(block: RankedBlock, size: int = TOP) -> NDArray[np.int64]:
    return np.flatnonzero(np.arange(len(block.owner)) - np.searchsorted(block.owner, block.owner) < size)


def test_a_history_without_an_item_is_that_user_without_its_events(world: World) -> None:
    log = world.past
    users, owner = np.array([7, 7, 2], np.int64), np.array([0, 2, 2], np.int64)
    mine = np.unique(log.items[log.users == 7])
    theirs = np.unique(log.items[log.users == 2])
    items = np.array([mine[1], theirs[0], theirs[2]], np.int64)
    short = histories_without(log, users, owner, items)
    assert short.n_users == 3
    assert np.array_equal(short.item_ids, log.item_ids)
    assert set(short.items[short.users == 0]) == set(mine) - {mine[1]}
    assert np.array_equal(short.items[short.users == 1], log.items[log.users == 7])
    assert set(short.items[short.users == 2]) == set(theirs) - {theirs[0], theirs[2]}
    kept = log.users == 7
    assert np.array_equal(short.times[short.users == 1], log.times[kept])
    assert np.array_equal(short.behaviours[short.users == 1], log.behaviours[kept])
    again = EventLog.build(
        short.user_ids.tolist(),
        short.item_ids.tolist(),
        short.users.tolist(),
        short.items.tolist(),
        short.times.tolist(),
        short.behaviours.tolist(),
    )
    assert np.array_equal(again.items, short.items)


def test_other_people_leave_what_is_known_of_items(known_with_tower: Knowledge) -> None:
    rows = np.array([11, 3], np.int64)
    nothing = np.zeros(0, np.int64)
    same = known_with_tower.of_people(histories_without(known_with_tower.log, rows, nothing, nothing), rows)
    for name in ("people", "recent", "warm", "text", "image"):
        assert np.array_equal(getattr(same, name), getattr(known_with_tower, name))
    two = np.arange(2, dtype=np.int32)
    then, now = Scores.of(same, two), Scores.of(known_with_tower, rows.astype(np.int32))
    for name in ("knn", "cosine_knn", "newest_knn", "content", "families", "types", "section", "tower_users"):
        assert np.allclose(getattr(then, name), getattr(now, name), atol=1e-5), name


def test_features_without_an_item_are_those_of_a_log_without_it(
    known_with_tower: Knowledge, tower_ranker: Ranker
) -> None:
    known = known_with_tower
    block = block_of(known, tower_ranker)
    bounds = np.searchsorted(block.owner, np.arange(len(USERS) + 1))
    top = top_rows(block)
    (without,) = features_without(known, block, top, 50)
    moved = np.zeros(len(NAMES), bool)
    for user in range(len(USERS)):
        pairs = slice(int(bounds[user]), int(bounds[user + 1]))
        mine = block.owner[top[without.row]] == user
        out, place = np.unique(without.item[mine]), np.unique(without.row[mine])
        assert len(out) == known.matrix.indptr[USERS[user] + 1] - known.matrix.indptr[USERS[user]]
        fast = without.values[mine][np.lexsort((without.row[mine], without.item[mine]))]
        fast, place = fast.reshape(len(out), len(place), -1), top[place] - pairs.start
        rows = np.repeat(USERS[user], len(out))
        then = known.of_people(histories_without(known.log, rows, np.arange(len(rows)), out), rows)
        order = np.argsort(block.items[pairs])
        owner = np.repeat(np.arange(len(rows)), len(order))
        items = np.tile(block.items[pairs][order], len(rows))
        people = np.arange(len(rows), dtype=np.int32)
        slow = values_of(then, people, Scores.of(then, people), owner, items)
        slow = slow.reshape(len(rows), len(order), -1)[:, np.argsort(order)][:, place]
        difference = np.abs(fast - slow)
        # What the last day was stays, as the function says: only where it ends with the item do the two differ.
        difference[:, :, LAST_DAY] = 0
        # Places may swap where two candidates are level but for the last bits.
        assert difference.max() < 2e-3, NAMES[int(difference.max(axis=(0, 1)).argmax())]
        moved |= (np.abs(fast - block.values[pairs][place][None]) > 1e-6).any(axis=(0, 1))
    still = {name for name, one in zip(NAMES, moved, strict=True) if not one}
    assert not still & {"item_knn", "content", "two_tower", "text_mean", "image_nearest", "family_knn", "price_gap"}
    assert not still & {"share_colour", "share_section", "section_popularity", "type_knn", "rank_content"}


def test_drops_come_by_row_largest_first_and_only_for_the_newest_items(known: Knowledge, ranker: Ranker) -> None:
    block = block_of(known, ranker)
    shown = top_rows(block)
    drops = leave_one_out(known, ranker, block, shown, 3)
    assert len(drops.row) == 3 * len(shown)
    assert np.array_equal(np.unique(drops.row), np.arange(len(shown)))
    for row in range(len(shown)):
        mine = drops.row == row
        assert (np.diff(drops.drop[mine]) <= 0).all()
        user = block.users[block.owner[shown[row]]]
        newest = known.tfidf.items[known.tfidf.offsets[user] : known.tfidf.offsets[user + 1]][-3:]
        assert set(drops.items[mine]) == set(newest)


def test_a_users_drops_do_not_depend_on_the_others(known_with_tower: Knowledge, tower_ranker: Ranker) -> None:
    def of(users: NDArray[np.int64]) -> dict[tuple[int, int, int], float]:
        block = block_of(known_with_tower, tower_ranker, users)
        shown = top_rows(block)
        found = leave_one_out(known_with_tower, tower_ranker, block, shown, 4)
        return {
            (int(block.users[block.owner[shown[row]]]), int(block.items[shown[row]]), int(item)): float(drop)
            for row, item, drop in zip(found.row, found.items, found.drop, strict=True)
        }

    together, alone = of(USERS), of(USERS[[2]])
    assert alone
    for key, drop in alone.items():
        assert together[key] == pytest.approx(drop, abs=2e-3)


def test_the_quick_way_agrees_with_the_full_one(known: Knowledge, ranker: Ranker) -> None:
    block = block_of(known, ranker)
    # Among all candidates, so that both speak of the same share.
    shown = np.arange(len(block.owner))
    drops = leave_one_out(known, ranker, block, shown, 4)
    chosen = np.random.default_rng(0).choice(len(drops.row), 60, replace=False)
    users = block.users[block.owner[shown[drops.row[chosen]]]]
    items = block.items[shown[drops.row[chosen]]]
    nothing = [np.zeros(0, np.int64)] * len(chosen)
    whole = log_shares(known, ranker, SETTINGS, users, items, nothing)
    without = log_shares(known, ranker, SETTINGS, users, items, [np.array([one]) for one in drops.items[chosen]])
    assert np.corrcoef(whole - without, drops.drop[chosen])[0, 1] > 0.9
    assert np.std(whole - without) > 0.01


def test_shares_of_a_user_add_up_to_one(known: Knowledge, ranker: Ranker) -> None:
    block = block_of(known, ranker, USERS[:1])
    n = len(block.items)
    shares = log_shares(
        known, ranker, SETTINGS, np.repeat(USERS[:1], n), block.items, [np.zeros(0, np.int64) for _ in range(n)]
    )
    assert np.exp(shares).sum() == pytest.approx(1, abs=1e-4)


def test_an_average_candidate_loses_nothing_by_being_average(known: Knowledge, ranker: Ranker) -> None:
    block = block_of(known, ranker)
    shown = top_rows(block)
    found = neutralised(ranker, block, shown)
    assert set(found) == set(GROUPS)
    assert {name for names in GROUPS.values() for name in names} < set(NAMES)
    columns = [NAMES.index(name) for name in GROUPS["popularity"]]
    values = block.values.copy()
    for user in range(len(USERS)):
        mine = block.owner == user
        for column in columns:
            values[mine, column] = values[mine, column].mean()
    level = neutralised(ranker, replace(block, values=values), shown)
    assert np.abs(level["popularity"]).max() < 1e-3
    assert np.abs(found["popularity"]).max() > 0.01


def test_nobody_has_no_drops(known: Knowledge, ranker: Ranker) -> None:
    block = block_of(known, ranker)
    empty = leave_one_out(known, ranker, block, np.zeros(0, np.int64), 3)
    assert isinstance(empty, Drops)
    assert len(empty.row) == len(empty.items) == len(empty.drop) == 0
