from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.sample.attributes import (
    PERIOD_END,
    PRODUCT_TYPES,
    TEST_START,
    colour_similarity,
    draw_wardrobe,
    unique_numbers,
)


def test_the_smallest_wardrobe_has_every_type() -> None:
    wardrobe = draw_wardrobe(40, np.random.default_rng(1))
    assert set(wardrobe.types) == set(range(len(PRODUCT_TYPES)))
    assert len(PRODUCT_TYPES) >= 10


def test_variants_of_a_family_share_everything_but_colour() -> None:
    wardrobe = draw_wardrobe(400, np.random.default_rng(2))
    for family in np.unique(wardrobe.families):
        rows = np.flatnonzero(wardrobe.families == family)
        assert len(set(wardrobe.colours[rows])) == len(rows)
        for column in (wardrobe.types, wardrobe.patterns, wardrobe.necklines, wardrobe.lengths, wardrobe.cuts):
            assert len(set(column[rows])) == 1


def test_a_share_of_the_catalog_is_launched_in_the_test_period() -> None:
    wardrobe = draw_wardrobe(1000, np.random.default_rng(3))
    assert 0.15 <= (wardrobe.launched >= TEST_START).mean() <= 0.25
    assert wardrobe.launched.max() < PERIOD_END


def test_identifiers_are_unique_and_of_one_width() -> None:
    numbers = unique_numbers(500, 4, np.random.default_rng(4))
    assert len(set(numbers)) == 500
    assert {len(number) for number in numbers} == {4}
    with pytest.raises(ValueError, match="do not fit"):
        unique_numbers(5000, 4, np.random.default_rng(4))


def test_a_colour_is_most_like_itself() -> None:
    similarity = colour_similarity()
    assert np.allclose(np.diag(similarity), 1)
    assert (similarity.argmax(axis=1) == np.arange(len(similarity))).all()
