from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.towers.features import ItemFeatures, category_vocabulary, lookup


def test_lookup_finds_places_and_marks_the_unknown() -> None:
    vocabulary = np.array(["a", "c", "e"])
    assert lookup(vocabulary, np.array(["e", "b", "a", "zz"])).tolist() == [2, -1, 0, -1]
    assert lookup(vocabulary[:0], np.array(["a"])).tolist() == [-1]


def test_unknown_category_values_get_no_code() -> None:
    assert category_vocabulary(np.array(["b", "", "a", "b"])).tolist() == ["a", "b"]
    features = ItemFeatures.build(["1", "2"], categories={"brand": ["x", None]})
    assert features.categories["brand"].tolist() == ["x", ""]


def test_missing_rows_are_zeroed_and_may_be_anything() -> None:
    image = np.array([[1, 2], [np.nan, np.inf]], np.float32)
    features = ItemFeatures.build(["1", "2"], image=image, has_image=np.array([True, False]))
    assert features.modalities["image"].values.tolist() == [[1, 2], [0, 0]]


def test_broken_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"text vectors of 1 items are not finite.*2"):
        ItemFeatures.build(["1", "2"], text=np.array([[0.0], [np.nan]], np.float32))
    with pytest.raises(ValueError, match="sorted"):
        ItemFeatures.build(["2", "1"])
    with pytest.raises(ValueError, match="one row for each of the 2 items"):
        ItemFeatures.build(["1", "2"], text=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="'colour' has 1 values for 2 items"):
        ItemFeatures.build(["1", "2"], categories={"colour": ["red"]})
    with pytest.raises(KeyError, match="no features for item '9'"):
        ItemFeatures.build(["1", "2"]).rows(np.array(["1", "9"]))
