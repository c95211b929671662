from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.index.centres import dealt_out_by_groups, learn_centres
from fashionrec_assets_tests.index.catalogs import catalog


def nearness(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """Mean inner product of each vector with the middle it lies nearest to."""
    return float((vectors @ centres.T).max(axis=1).mean())


def plain(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    import faiss

    means = faiss.Kmeans(vectors.shape[1], count, niter=10, spherical=True, seed=17, min_points_per_centroid=1)
    means.train(vectors)
    assert means.centroids is not None
    return means.centroids


def test_two_levels_find_middles_about_as_good_as_plain_k_means() -> None:
    vectors = catalog(6_000)[1]
    centres, groups = learn_centres(vectors, 150, seed=3)
    assert centres.shape == (150, 32)
    assert groups.shape == (12, 32)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)
    chance = vectors[:150] / np.linalg.norm(vectors[:150], axis=1, keepdims=True)
    best, worst = nearness(vectors, plain(vectors, 150)), nearness(vectors, chance)
    assert nearness(vectors, centres) > best - 0.25 * (best - worst)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_lists_are_learnt_of_few_vectors(count: int) -> None:
    vectors = catalog(40 * count)[1]
    assert learn_centres(vectors, count, seed=3)[0].shape == (count, 32)
    assert learn_centres(np.ones_like(vectors), count, seed=3)[0].shape == (count, 32)


def test_what_is_dealt_out_by_groups_lies_with_its_nearest_middle_nearly_always() -> None:
    import faiss

    vectors = catalog(6_000)[1]
    centres, groups = learn_centres(vectors, 150, seed=3)
    flat: Any = faiss.IndexFlatIP(32)
    flat.add(centres)
    lists: Any = faiss.IndexIVFFlat(flat, 32, len(centres), faiss.METRIC_INNER_PRODUCT)
    lists.train(vectors)
    with dealt_out_by_groups(lists, centres, groups):
        lists.add(vectors)
    found = np.empty(len(vectors), np.int64)
    for number in range(lists.nlist):
        size = lists.invlists.list_size(number)
        if size:
            found[faiss.rev_swig_ptr(lists.invlists.get_ids(number), size)] = number
    assert 0.9 < np.mean(found == (vectors @ centres.T).argmax(axis=1)) < 1
    # Afterwards, searches compare with every middle again.
    assert lists.quantizer.this == flat.this
