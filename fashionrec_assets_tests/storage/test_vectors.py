"""Vectors as the rows of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, all_vectors, vector_rows, vectors_of


def test_all_vectors_are_those_of_a_scan(tmp_path: Path) -> None:
    made = BucketStore(tmp_path / "store", 4, VECTOR_COLUMNS)
    assert all_vectors(made)[0] == [] and all_vectors(made)[1].shape == vectors_of(made.scan())[1].shape
    keys = [f"{number * 7 % 50}é" if number % 3 else f"{number}" for number in range(50)]
    made.put(vector_rows(keys, np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)))
    (found, vectors), (scanned, expected) = all_vectors(made), vectors_of(made.scan())
    assert found == scanned
    np.testing.assert_array_equal(vectors, expected)


def test_vectors_of_two_encoders_in_one_store_are_refused(tmp_path: Path) -> None:
    made = BucketStore(tmp_path / "store", 4, VECTOR_COLUMNS)
    made.put(vector_rows(["a"], np.ones((1, 3), dtype=np.float32)))
    made.put(vector_rows(["b"], np.ones((1, 5), dtype=np.float32)))
    with pytest.raises(ValueError, match="different lengths"):
        vectors_of(made.scan())
    with pytest.raises(ValueError, match="different lengths"):
        all_vectors(made)
