from __future__ import annotations

import itertools

import numpy as np
import pytest

from fashionrec_assets.sample.attributes import PRODUCT_TYPES, ProductType
from fashionrec_assets.sample.canvas import View, box_of, coverage
from fashionrec_assets.sample.garments import Design, Pose, outline


@pytest.mark.parametrize("product", PRODUCT_TYPES, ids=lambda product: product.name)
def test_every_variant_has_an_outline_of_its_own(product: ProductType) -> None:
    view, window = View(24.0, 110.0, 30.0), (0, 0, 220, 260)
    for worn in (True, False):
        masks: list[bytes] = []
        for neckline, sleeve, length in itertools.product(product.necklines, product.sleeves, product.lengths):
            shape = outline(Design(product.name, neckline, sleeve, length), Pose(worn=worn))
            mask = coverage([view.apply(p) for p in shape.parts], [view.apply(p) for p in shape.holes], window)
            assert 60 < mask.sum() < 0.6 * mask.size
            marks = [np.round(p, 3).tobytes() for p in (*shape.parts, *shape.holes, *(t[0] for t in shape.trims))]
            masks.append(b"".join(marks))
        assert len(set(masks)) == len(masks)


def test_coverage_is_antialiased_and_exact_for_a_rectangle() -> None:
    square = np.array([[2.0, 3.0], [6.0, 3.0], [6.0, 9.0], [2.0, 9.0]])
    mask = coverage([square], [], (0, 0, 10, 12))
    assert box_of(mask) == (2, 3, 6, 9)
    assert abs(float(mask.sum()) - 24) < 5
    triangle = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    edges = coverage([triangle], [], (0, 0, 10, 10))
    assert ((edges > 0.1) & (edges < 0.9)).any()


def test_an_invisible_item_is_an_error() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        box_of(np.zeros((4, 4), np.float32))
