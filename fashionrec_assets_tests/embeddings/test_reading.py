"""Vectors by item: aligned, and of one width even where no item has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fashionrec_assets.definitions import open_shop
from fashionrec_assets.embeddings.reading import IMAGE_STORE, vectors
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows


def test_items_without_a_vector_have_the_width_of_the_others(tmp_path: Path) -> None:
    shop = open_shop(Settings.load(home=tmp_path, raw=tmp_path))
    assert vectors(shop, IMAGE_STORE, ["a"]).values.shape == (1, 1)
    stored = np.arange(8, dtype=np.float32).reshape(2, 4)
    shop.store(IMAGE_STORE, VECTOR_COLUMNS).put(vector_rows(["b", "d"], stored))
    found = vectors(shop, IMAGE_STORE, ["a", "b", "c", "d"])
    assert found.present.tolist() == [False, True, False, True]
    assert (found.values[[1, 3]] == stored).all()
    assert (found.values[[0, 2]] == 0).all()
    none = vectors(shop, IMAGE_STORE, ["a", "c"])
    assert none.values.shape == (2, 4)
    assert not none.present.any()
