from __future__ import annotations

import math

import numpy as np
import pytest

from fashionrec_assets.evaluation import retrieval
from fashionrec_assets.evaluation.retrieval import (
    METRICS,
    Places,
    best_candidates,
    chance_hits,
    family_figures,
    own_figures,
    own_places,
    several_figures,
)


def unit(rows) -> np.ndarray:
    values = np.asarray(rows, dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def random_units(n, dim=16, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def nothing(rows, columns):
    return lambda start, stop: np.zeros((rows, columns), dtype=bool)[start:stop]


def test_ranks_computed_by_hand():
    images = unit([[1, 0], [0, 1], [1, 1]])
    texts = unit([[1, 0.1], [1, 0], [1, 1]])
    # Text 0 is nearest to image 0; text 1 has image 1 last, behind 0 and 2; text 2 is image 2 itself.
    places = own_places(texts, images)
    assert places.ranks.tolist() == [1, 3, 1]
    figures = own_figures(places, 3)
    assert figures.values["hits", 1].tolist() == [1, 0, 1]
    assert figures.values["hits", 5].tolist() == [1, 1, 1]
    assert figures.values["mrr", 0].tolist() == pytest.approx([1, 1 / 3, 1])
    assert figures.values["ndcg", 10].tolist() == pytest.approx([1, 1 / 2, 1])


def test_equal_texts_are_one_question_and_only_the_item_itself_is_right():
    images = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    texts = unit([[1, 0.5, 0], [1, 0.5, 0], [0, 0, 1]])
    assert own_places(texts, images).ranks.tolist() == [1, 2, 1]
    # Image 0 asks for text 0 and cannot tell it from text 1: half a hit at 1, a hit at 5.
    figures = own_figures(own_places(images, texts), 3)
    assert figures.values["hits", 1].tolist() == pytest.approx([0.5, 0.5, 1])
    assert figures.values["mrr", 0].tolist() == pytest.approx([0.75, 0.75, 1])


def test_a_model_that_gives_everything_one_score_does_as_well_as_chance():
    same = np.tile(unit([[1, 2, 3]]), (40, 1))
    figures = own_figures(own_places(same, same), 40)
    assert figures.values["hits", 5].mean() == pytest.approx(5 / 40)
    assert figures.values["mrr", 0].mean() == pytest.approx(sum(1 / r for r in range(1, 41)) / 40)
    assert figures.values["ndcg", 10].mean() == pytest.approx(sum(1 / math.log2(r + 1) for r in range(1, 11)) / 40)


def test_the_expectation_over_ties_is_that_of_many_random_orders():
    places = Places(np.array([3]), np.array([4]))
    ranks = 4 + np.random.default_rng(0).integers(0, 5, 200_000)
    figures = own_figures(places, 30)
    assert figures.values["hits", 5][0] == pytest.approx((ranks <= 5).mean(), abs=0.005)
    assert figures.values["mrr", 0][0] == pytest.approx((1 / ranks).mean(), abs=0.005)


def slow_figures(scores, right, out):
    """One query with several right answers, by the words of the module."""
    order = sorted((i for i in range(len(scores)) if not out[i]), key=lambda i: (-scores[i], right[i], i))
    hits = [bool(right[i]) for i in order]
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, sum(hits))))
    first = hits.index(True) + 1
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits[:10]) if hit)
    values = {("mrr", 0): 1 / first, ("ndcg", 10): gain / ideal}
    return values | {("hits", k): float(first <= k) for k in (1, 5, 10)}


@pytest.mark.parametrize("chunk", [1 << 26, 16 * 30 * 3])
def test_several_right_answers_agree_with_a_slow_reading(monkeypatch, chunk):
    monkeypatch.setattr(retrieval, "_CHUNK_BYTES", chunk)
    rng = np.random.default_rng(1)
    candidates = unit(rng.integers(-1, 2, (30, 3)) + np.array([0.01, 0, 0]))
    queries = unit(rng.integers(-1, 2, (17, 3)) + np.array([0, 0.01, 0]))
    right, out = rng.random((17, 30)) < 0.12, rng.random((17, 30)) < 0.1
    right[4] = False
    figures = several_figures(queries, candidates, lambda a, b: right[a:b], lambda a, b: out[a:b])
    scores = np.round((queries @ candidates.T).astype(float), 5)
    asked = [q for q in range(17) if (right[q] & ~out[q]).any()]
    assert figures.queries.tolist() == asked
    assert 4 not in asked
    for place, query in enumerate(asked):
        slow = slow_figures(scores[query], right[query], out[query])
        for metric in METRICS:
            assert figures.values[metric][place] == pytest.approx(slow[metric]), (query, metric)


def test_an_image_asks_for_its_family_but_not_for_itself():
    images = unit([[1, 0], [1, 0.1], [0, 1], [0.2, 1]])
    figures = family_figures(images, np.array([0, 0, 1, 2]))
    assert figures.queries.tolist() == [0, 1]
    assert figures.values["hits", 1].tolist() == [1, 1]
    far = family_figures(images, np.array([0, 1, 0, 2]))
    # Image 0: 1 is nearest, then 3, then 2. Image 2: 3, then 1, then 0.
    assert far.queries.tolist() == [0, 2]
    assert far.values["mrr", 0].tolist() == pytest.approx([1 / 3, 1 / 3])


def test_a_right_answer_stands_behind_what_it_is_tied_with():
    images = unit([[1, 0], [1, 0], [0, 1]])
    figures = several_figures(unit([[1, 0]]), images, lambda a, b: np.array([[True, False, False]])[a:b], nothing(1, 3))
    assert figures.values["mrr", 0].tolist() == [0.5]


def test_nobody_asks():
    empty = several_figures(np.zeros((0, 4), np.float32), random_units(5, 4), nothing(0, 5), nothing(0, 5))
    assert len(empty.queries) == 0
    assert all(len(values) == 0 for values in empty.values.values())


def test_chunks_change_nothing(monkeypatch):
    texts, images = random_units(50, seed=1), random_units(50, seed=2)
    whole = own_places(texts, images)
    monkeypatch.setattr(retrieval, "_CHUNK_BYTES", 16 * 50 * 7)
    parts = own_places(texts, images)
    assert np.array_equal(whole.above, parts.above)
    assert np.array_equal(whole.level, parts.level)


def test_the_best_candidates_come_in_order():
    images = unit([[0, 1], [1, 0], [1, 1]])
    assert best_candidates(unit([[1, 0.2]])[0], images, 2).tolist() == [1, 2]


def test_chance_is_the_hypergeometric_one():
    assert chance_hits(np.array([1, 1]), np.array([20, 20]), 5) == pytest.approx(0.25)
    assert chance_hits(np.array([3]), np.array([10]), 2) == pytest.approx(1 - 7 / 10 * 6 / 9)
    assert chance_hits(np.array([2]), np.array([3]), 5) == 1.0
    assert chance_hits(np.array([], np.int64), np.array([], np.int64), 5) == 0.0
