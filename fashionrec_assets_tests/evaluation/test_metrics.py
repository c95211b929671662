from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import SLICES, ranking_task
from fashionrec_assets.evaluation import metrics
from fashionrec_assets.evaluation.metrics import (
    BadScoresError,
    ListViews,
    block_size,
    coverage,
    diversity,
    find_hits,
    mask_unavailable,
    novelty,
    rank,
    slice_metrics,
    top_k,
)
from fashionrec_assets_tests.evaluation.shop import DAY, log_of, random_tasks


@dataclass
class Table:
    """Scores from a matrix with a row per user of the shop."""

    scores: np.ndarray
    name: str = "table"

    def score(self, user_rows):
        return self.scores[user_rows]


def tied_scores(task, seed=0):
    return np.random.default_rng(seed).integers(0, 6, (task.history.n_users, task.n_items)).astype(np.float32)


def slow_list(task, scores, user):
    """One user's ranking, by the words of the protocol."""
    had = {int(i) for u, i in zip(task.history.users, task.history.items, strict=True) if u == user}
    candidates = [i for i in range(task.n_items) if task.pool[i] and i not in had and scores[user, i] > -np.inf]
    return sorted(candidates, key=lambda item: (-scores[user, item], item))


def slow_metrics(ranking, targets, k):
    hits = [item in targets for item in ranking[:k]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(targets))))
    return {
        "recall": sum(hits) / len(targets),
        "precision": sum(hits) / k,
        "ndcg": gain / ideal,
        "mrr": next((1 / (place + 1) for place, hit in enumerate(hits) if hit), 0.0),
    }


def test_figures_of_a_case_computed_by_hand():
    # User 0 has item 0, targets 2 and 4; the ranking is 3, 2, 1, 4.
    log = log_of([(0, 0, 1, "pv"), (1, 2, 1, "pv"), (0, 2, 10, "pv"), (0, 4, 10, "pv")], 2, 5)
    task = ranking_task(log, name="test", start=10 * DAY, end=11 * DAY)
    lists = rank(task, Table(np.asarray([[9, 2, 3, 4, 1], [0, 0, 0, 0, 0]], np.float32)), 4)
    assert lists.tolist() == [[3, 2, 1, 4]]
    hits = find_hits(task, lists)
    values = slice_metrics(task, hits, "overall", [2, 4]).values
    assert values["recall", 2] == pytest.approx([0.5])
    assert values["recall", 4] == pytest.approx([1.0])
    assert values["precision", 4] == pytest.approx([0.5])
    assert values["mrr", 2] == pytest.approx([0.5])
    ideal = 1 + 1 / math.log2(3)
    assert values["ndcg", 2] == pytest.approx([(1 / math.log2(3)) / ideal])
    assert values["ndcg", 4] == pytest.approx([(1 / math.log2(3) + 1 / math.log2(5)) / ideal])
    # The cold slice keeps the ranking and looks for item 4 alone.
    cold = slice_metrics(task, hits, "cold", [2, 4])
    assert cold.targets == 1
    assert cold.values["recall", 2] == pytest.approx([0.0])
    assert cold.values["ndcg", 4] == pytest.approx([1 / math.log2(5)])


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("block", [1, 7, None])
def test_agrees_with_a_slow_reference(name, block):
    _, task = random_tasks(1)
    scores = tied_scores(task)
    scores[:, ::9] = -np.inf
    hits = find_hits(task, rank(task, Table(scores), 12, block=block))
    got = slice_metrics(task, hits, name, [3, 12])
    in_slice, wanted = task.slice_masks(name)
    expected_rows = []
    expected = {(metric, k): [] for metric in ("recall", "precision", "ndcg", "mrr") for k in (3, 12)}
    for row, user in enumerate(task.users):
        places = range(task.target_offsets[row], task.target_offsets[row + 1])
        targets = {int(task.target_items[place]) for place in places if wanted[place]}
        if not in_slice[row] or not targets:
            continue
        expected_rows.append(row)
        ranking = slow_list(task, scores, user)
        for k in (3, 12):
            for metric, value in slow_metrics(ranking, targets, k).items():
                expected[metric, k].append(value)
    assert got.rows.tolist() == expected_rows
    assert len(expected_rows) > 2
    for key, values in expected.items():
        assert got.values[key] == pytest.approx(values), key


def test_lists_hold_nothing_masked_and_break_ties_by_item():
    _, task = random_tasks(2)
    scores = tied_scores(task, 5)
    lists = rank(task, Table(scores), task.n_items)
    for user, listed in zip(task.users, lists, strict=True):
        shown = [item for item in listed.tolist() if item >= 0]
        assert shown == slow_list(task, scores, user)
        assert not set(shown) & set(task.history.items[task.history.users == user].tolist())
        assert 39 not in shown  # launched after the window


@pytest.mark.parametrize("k", [1, 3, 20, 50])
def test_top_k_with_many_ties_infinities_and_short_rows(k):
    rng = np.random.default_rng(0)
    scores = rng.choice(np.asarray([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf], np.float32), (30, 20))
    scores[0] = -np.inf
    scores[1] = 1.0
    got = top_k(scores, k)
    for row, listed in zip(scores, got, strict=True):
        order = sorted((item for item in range(20) if row[item] > -np.inf), key=lambda item: (-row[item], item))[:k]
        assert listed.tolist() == order + [-1] * (k - len(order))


def test_scores_that_cannot_be_ranked_name_the_method():
    _, task = random_tasks()
    broken = tied_scores(task)
    broken[:, 3] = np.nan
    with pytest.raises(BadScoresError, match="table returned NaN"):
        rank(task, Table(broken), 5)
    with pytest.raises(BadScoresError, match="table returned scores of shape"):
        rank(task, Table(broken[:, :-1]), 5)


def test_an_oracle_of_the_targets_reaches_one():
    _, task = random_tasks()
    scores = np.zeros((task.history.n_users, task.n_items), np.float32)
    scores[task.users[task.target_rows], task.target_items] = 1
    values = slice_metrics(task, find_hits(task, rank(task, Table(scores), 40)), "overall", [40]).values
    assert np.allclose(values["recall", 40], 1)
    assert np.allclose(values["ndcg", 40], 1)


def test_coverage_and_novelty():
    log = log_of([(0, 0, 1, "pv"), (0, 0, 2, "pv"), (1, 0, 1, "buy"), (1, 1, 1, "pv"), (0, 2, 10, "pv")], 2, 4)
    task = ranking_task(log, name="test", start=10 * DAY, end=11 * DAY)
    lists = np.asarray([[0, 1], [0, -1]], np.int32)
    assert coverage(task, lists, 2) == pytest.approx(2 / 4)
    # Item 0: both of two people, so no surprise. Item 1: one of two. Smoothed by one.
    assert novelty(task, lists, 2) == pytest.approx([-math.log2(2 / 3) / 2, 0.0])
    assert np.isnan(novelty(task, np.full((1, 2), -1, np.int32), 2)).all()


def test_progress_reaches_the_end():
    _, task = random_tasks()
    calls = []
    rank(task, Table(tied_scores(task)), 5, block=7, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(task.users), len(task.users))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_diversity_is_the_mean_over_pairs():
    text = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]], np.float32)
    views = ListViews(text, np.array([True, True, True, False]), np.array([7, 8, 7, -1]))
    lists = np.array([[0, 1, 2], [0, 2, -1], [1, 3, -1], [-1, -1, -1]], np.int32)
    found = diversity(views, lists, 3)
    # Of the pairs (0, 1), (0, 2) and (1, 2) two are orthogonal, and of different types.
    assert found["diversity_text"] == pytest.approx([2 / 3, 0.0, np.nan, np.nan], nan_ok=True)
    assert found["diversity_type"] == pytest.approx([2 / 3, 0.0, np.nan, np.nan], nan_ok=True)


def test_diversity_agrees_with_all_pairs():
    rng = np.random.default_rng(0)
    views = ListViews(rng.normal(size=(30, 4)).astype(np.float32), np.ones(30, bool), rng.integers(0, 4, 30))
    lists = np.stack([rng.permutation(30)[:8] for _ in range(600)]).astype(np.int32)
    found = diversity(views, lists, 5)
    shown = lists[577, :5]
    units = views.text / np.linalg.norm(views.text, axis=1, keepdims=True)
    pairs = [(a, b) for at, a in enumerate(shown) for b in shown[at + 1 :]]
    assert found["diversity_text"][577] == pytest.approx(np.mean([1 - units[a] @ units[b] for a, b in pairs]), abs=1e-6)
    assert found["diversity_type"][577] == pytest.approx(np.mean([views.types[a] != views.types[b] for a, b in pairs]))


@dataclass
class Products:
    """Inner products of small whole numbers: full of ties, and the same in any order of summation."""

    users: np.ndarray
    item_vectors: np.ndarray
    name: str = "products"

    def user_vectors(self, user_rows, /):
        return self.users[user_rows]

    def score(self, user_rows):
        return self.users[user_rows] @ self.item_vectors.T


@pytest.mark.parametrize("part", [1, 7, 39])
@pytest.mark.parametrize("k", [3, 40])
def test_products_taken_in_parts_give_the_same_lists(part, k, monkeypatch):
    _, task = random_tasks(3)
    rng = np.random.default_rng(0)
    users, items = (
        rng.integers(-2, 3, (n, 3)).astype(np.float32) for n in (task.history.n_users, task.history.n_items)
    )
    whole = rank(task, Products(users, items), k)
    monkeypatch.setattr(metrics, "_PRODUCTS_AT_ONCE", part)
    assert np.array_equal(rank(task, Products(users, items), k), whole)
    items[5] = np.nan
    with pytest.raises(BadScoresError, match="products returned NaN"):
        rank(task, Products(users, items), k)


def test_a_table_that_is_read_only_is_not_written_to():
    _, task = random_tasks()
    row = np.arange(task.n_items, dtype=np.float32)
    shared = np.broadcast_to(row, (task.history.n_users, task.n_items))

    @dataclass
    class Everybody:
        name: str = "everybody"

        def score(self, user_rows):
            return np.broadcast_to(row, (len(user_rows), task.n_items))

    assert np.array_equal(rank(task, Everybody(), 9), rank(task, Table(shared), 9))
    assert np.array_equal(row, np.arange(task.n_items))


@pytest.mark.parametrize("width", [400, 1_003, 6_011])
@pytest.mark.parametrize("levels", [None, 400, 3, 1])
def test_top_k_of_long_rows_is_that_of_a_full_sort(width, levels):
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((9, width)) if levels is None else rng.integers(0, levels, (9, width))
    scores = scores.astype(np.float32)
    scores[0, rng.random(width) < 0.99] = -np.inf
    scores[1] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    order[np.take_along_axis(scores, order, axis=1) == -np.inf] = -1
    assert np.array_equal(top_k(scores, 6), order)
    for item in (width - 1, width // 2):
        spoiled = scores.copy()
        spoiled[3, item] = np.nan
        with pytest.raises(BadScoresError, match="NaN"):
            top_k(spoiled, 6)


def test_the_best_may_all_be_dealt_to_one_group():
    # Whatever the number of groups, these come round to the same ones: the worst that a bound from groups can meet.
    for stride in (*range(1, 120, 8), 546):
        scores = np.random.default_rng(stride).random((2, 6_011), dtype=np.float32)
        scores[:, 5::stride] += 1
        assert np.array_equal(top_k(scores, 6), np.argsort(-scores, axis=1, kind="stable")[:, :6])


@pytest.mark.parametrize("width", [401, 1_003, 6_011, 20_017])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_what_is_left_after_dealing_is_listed_too(width, k):
    scores = np.random.default_rng(0).random((3, width), dtype=np.float32)
    scores[:, -3:] += np.asarray([1, 3, 2], np.float32)
    assert np.array_equal(top_k(scores, k), np.argsort(-scores, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("block", [2, 6, 7, 13, None])
def test_lists_do_not_depend_on_the_blocks(block):
    _, task = random_tasks(4)
    task = replace(task, users=task.users[:43], has_history=task.has_history[:43])
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 7), dtype=np.float32) for n in (task.history.n_users, task.history.n_items))
    at_once: list[int] = []

    @dataclass
    class Counted(Products):
        def score(self, user_rows):
            at_once.append(len(user_rows))
            return super().score(user_rows)

    whole = rank(task, Products(users, items), 9, block=43)
    assert np.array_equal(rank(task, Counted(users, items), 9, block=block), whole)
    assert sum(at_once) == 43
    assert 1 not in at_once


@pytest.mark.parametrize("off_sale", [0, 1, 20])
def test_only_what_is_on_sale_and_new_to_the_user_keeps_its_score(off_sale):
    _, task = random_tasks(2)
    pool = np.ones(task.n_items, bool)
    pool[:off_sale] = False
    task = replace(task, pool=pool)
    users = task.users[[1, 4, 5]]
    scores = np.random.default_rng(0).random((3, task.n_items), dtype=np.float32)
    expected = scores.copy()
    for row, user in enumerate(users):
        for item in range(task.n_items):
            if item < off_sale or ((task.history.users == user) & (task.history.items == item)).any():
                expected[row, item] = -np.inf
    assert np.array_equal(mask_unavailable(task, users, scores[:, 10:25].copy(), 10), expected[:, 10:25])
    assert mask_unavailable(task, users, scores) is scores
    assert np.array_equal(scores, expected)


def test_blocks_are_near_fast_and_within_memory():
    for n_items in (1, 1_200, 20_000, 65_536, 400_000, 10**7, 10**9):
        users = block_size(n_items)
        assert users == 1 or users * n_items * 24 <= 256 << 20
        assert users <= 64 or users * n_items * 4 <= 10 << 20
        assert users % 64 == 0 or users == (256 << 20) // (24 * n_items) or users == 1
