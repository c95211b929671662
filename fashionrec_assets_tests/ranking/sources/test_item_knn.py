"""Item-kNN keeps exactly the nearest, of equally near items those of lower rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fashionrec_assets.ranking.sources.interactions import interaction_matrix
from fashionrec_assets.ranking.sources.item_knn import ItemKnn
from fashionrec_assets_tests.evaluation.shop import log_of


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(4)
    # Few people and many items: most similarities have an equal.
    return log_of(
        [
            (int(user), int(item), 1, str(behaviour))
            for user, item, behaviour in zip(
                rng.integers(0, 25, 900),
                np.minimum(rng.exponential(20, 900), 99),
                rng.choice(["pv", "cart"], 900, p=[0.9, 0.1]),
                strict=True,
            )
        ],
        25,
        101,
    )


def nearest(log, exponent, shrink, limit):
    """Rows of (item, similarity) in double precision, by a sort of all pairs."""
    x = interaction_matrix(log).toarray().astype(np.float64)
    norms = (x * x).sum(axis=0) ** exponent
    products = x.T @ x
    bottom = np.outer(norms, norms) + shrink
    similarity = np.divide(products, bottom, out=np.zeros_like(products), where=products > 0)
    np.fill_diagonal(similarity, 0)
    for row in similarity:
        best = np.lexsort((np.arange(len(row)), -row))[:limit]
        kept = np.sort(best[row[best] > 0])
        yield list(zip(kept.tolist(), row[kept].astype(np.float32).tolist(), strict=True))


@pytest.mark.parametrize("pairs", [1, 500, 2_000_000])
@pytest.mark.parametrize(
    ("exponent", "shrink", "limit"), [(0.2, 10.0, 4), (0.5, 0.0, 1), (0.5, 3.0, 30), (0.5, 0, 500)]
)
def test_exactly_the_nearest_are_kept(log, exponent, shrink, limit, pairs, monkeypatch):
    monkeypatch.setattr("fashionrec_assets.ranking.sources.item_knn._PAIRS_AT_ONCE", pairs)
    found = ItemKnn.fit(log, exponent=exponent, shrink=shrink, neighbours=limit).similarity
    parts = [slice(start, stop) for start, stop in itertools.pairwise(found.indptr.tolist())]
    rows = [list(zip(found.indices[part].tolist(), found.data[part].tolist(), strict=True)) for part in parts]
    assert rows == list(nearest(log, exponent, shrink, limit))


def test_narrow_indices(log):
    # Products of sparse matrices read twice as much where indices are wide.
    knn = ItemKnn.fit(log, neighbours=5)
    assert {knn.matrix.indices.dtype, knn.similarity.indices.dtype} == {np.dtype(np.int32)}
