from __future__ import annotations

import numpy as np

from fashionrec_assets.crops.clustering import colour_clusters, memberships


def test_clusters_are_the_same_every_time() -> None:
    pixels = np.random.default_rng(1).normal(0, 20, (300, 3)).astype(np.float32)
    first, second = colour_clusters(pixels, 6), colour_clusters(pixels, 6)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert first[1].sum() == 1


def test_a_pixel_belongs_to_what_is_near_and_to_all_in_part() -> None:
    centres = np.array([[0, 0, 0], [10, 0, 0]], np.float32)
    shares = memberships(np.array([[0, 0, 0], [5, 0, 0], [9, 0, 0], [900, 0, 0]], np.float32), centres, 6.0)
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.allclose(shares[1], 0.5)
    assert shares[0, 0] > 0.75 > shares[0, 1] > 0.1
    assert shares[2, 1] > 0.7
    assert np.isfinite(shares).all()
    sharp = memberships(np.array([[4, 0, 0]], np.float32), centres, 1.0)
    assert sharp[0, 0] > 0.99
