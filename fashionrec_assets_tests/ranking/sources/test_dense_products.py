"""Dense products are scipy's, to the bit, however they are cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from fashionrec_assets.ranking.sources.dense_products import dense_product


def matrices(seed=0, users=23, items=40):
    rng = np.random.default_rng(seed)
    left, right = (
        sparse.random_array(shape, density=0.2, rng=rng, dtype=np.float32, format="csr")
        for shape in ((users, items), (items, items + 3))
    )
    left.data *= 7
    return sparse.csr_array(left), sparse.csr_array(right)


@pytest.mark.parametrize("at_once", [1, 90, 1_000_000])
def test_a_dense_product_is_the_sparse_one_to_the_bit(at_once, monkeypatch):
    monkeypatch.setattr("fashionrec_assets.ranking.sources.dense_products._AT_ONCE", at_once)
    left, right = matrices()
    wanted = (left @ right).toarray()
    assert np.count_nonzero(wanted) > 100
    found = dense_product(left, right)
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("at_once", [1, 90, 1_000_000])
def test_what_is_not_above_zero_gives_way(at_once, monkeypatch):
    monkeypatch.setattr("fashionrec_assets.ranking.sources.dense_products._AT_ONCE", at_once)
    left, right = matrices()
    right.data[::3] *= -1
    otherwise = -1 - np.arange(right.shape[1], dtype=np.float32)
    plain = (left @ right).toarray()
    assert (plain < 0).any()
    assert (plain == 0).any()
    wanted = np.where(plain > 0, plain, otherwise)
    assert np.array_equal(dense_product(left, right, otherwise), wanted)


def test_nothing_times_nothing():
    left, right = matrices()
    assert dense_product(left[:0], right).shape == (0, right.shape[1])
    assert dense_product(left, right[:, :0]).shape == (left.shape[0], 0)
    nobody = sparse.csr_array((2, left.shape[1]), dtype=np.float32)
    otherwise = np.arange(right.shape[1], dtype=np.float32)
    assert dense_product(nobody, right).tolist() == np.zeros((2, right.shape[1])).tolist()
    assert dense_product(nobody, right, otherwise).tolist() == [otherwise.tolist()] * 2
