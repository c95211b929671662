from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ALWAYS
from fashionrec_assets.towers.features import (
    DAY,
    ItemFeatures,
    UserProfiles,
    age_codes,
    category_vocabulary,
    lookup,
    price_codes,
    price_edges,
)


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


def test_prices_become_quantiles_and_a_missing_one_has_its_own_code() -> None:
    prices = np.array([1.0, 2.0, 3.0, 1000.0, np.nan])
    edges = price_edges(prices)
    codes = price_codes(prices, edges)
    assert codes[4] == 0 and (np.diff(codes[:4]) > 0).all() and codes[:4].min() >= 1
    assert len(price_edges(np.array([np.nan]))) == 0


def test_an_unknown_or_new_item_has_no_age() -> None:
    cut = 100 * DAY
    codes = age_codes(np.array([ALWAYS, cut, cut + 5, cut - 1, cut - 10 * DAY, 0]), cut)
    assert codes[:3].tolist() == [0, 0, 0]
    assert 0 < codes[3] < codes[4] < codes[5]


def test_profiles_know_decades_and_the_unknown() -> None:
    profiles = UserProfiles.build(gender=["f", None], age=[34, None])
    assert profiles.columns["age"].tolist() == ["30s", ""] and profiles.columns["gender"].tolist() == ["f", ""]
    assert "city" not in profiles.columns
    assert profiles.avatar is None
