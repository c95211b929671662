from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.synthesis.rows import ItemContent, TrainingRows
from fashionrec_assets.synthesis.sampling import draw_rows, nearest

ROWS = TrainingRows(
    np.array([0, 1, 2], np.int32), np.array([0, 1, 2], np.int32), np.ones(3, np.float32), np.zeros(3, np.int64)
)
FIVE = np.ones(5, np.bool_)
CONTENT = ItemContent(np.eye(5, dtype=np.float32), FIVE, np.array([""] * 5), np.array([""] * 5), FIVE)


def in_order(sources: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Proposes no item, then the source's own, then 3, then 4."""
    own = ROWS.items[sources].astype(np.int64)
    some = [np.full(len(sources), item) for item in (3, 4)]
    return np.stack([np.full(len(sources), -1), own, *some], axis=1), np.full(len(sources), 0.25, np.float32)


def test_the_first_item_that_may_be_taken_is_taken() -> None:
    made = draw_rows(3, ROWS, CONTENT, np.array([True, False, False]), in_order, seed=1)
    # Of one source there are two pairs, then none is left.
    assert made.users.tolist() == [0, 0]
    assert made.items.tolist() == [3, 4]
    assert made.labels.tolist() == [0.25, 0.25]
    assert made.sources.tolist() == [0, 0]


def test_items_that_could_not_be_bought_or_have_no_content_are_passed_over() -> None:
    for gone in ({"available": np.arange(5) != 3}, {"present": np.arange(5) != 3}):
        made = draw_rows(3, ROWS, replace(CONTENT, **gone), FIVE[:3], in_order, seed=1)
        assert sorted(made.users.tolist()) == [0, 1, 2]
        assert made.items.tolist() == [4, 4, 4]


def test_without_a_source_there_are_no_rows() -> None:
    assert len(draw_rows(3, ROWS, CONTENT, ~FIVE[:3], in_order, seed=1)) == 0


def test_nearest_is_exact_and_ordered() -> None:
    rng = np.random.default_rng(1)
    table, queries = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(7, 4)).astype(np.float32)
    distances = ((queries[:, None] - table) ** 2).sum(axis=2)
    assert np.array_equal(nearest(table, queries, 5), np.argsort(distances, axis=1)[:, :5])
    assert np.array_equal(nearest(table, queries, 5, cosine=True), np.argsort(-queries @ table.T, axis=1)[:, :5])
    assert nearest(table[:3], queries, 9).shape == (7, 3)
    assert nearest(table[:0], queries, 9).shape == (7, 0)
