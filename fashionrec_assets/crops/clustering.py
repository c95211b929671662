"""k-means over colours, made deterministic.

Belongs here: the one call of OpenCV's k-means, and how much of a pixel belongs to each centre. Does not belong here:
what the clusters mean.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray


def colour_clusters(
    pixels: NDArray[np.float32], most: int, *, rounds: int = 10
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """At most `most` centres (k, 3) of `pixels` (n, 3), n at least 1, and the share of the pixels each one has.

    The same pixels give the same clusters: OpenCV's generator is seeded anew.
    """
    import cv2

    rows = np.ascontiguousarray(pixels, dtype=np.float32)
    count = min(most, len(rows))
    if count == 1:
        # OpenCV reads a single row as many one-dimensional samples.
        return rows.mean(axis=0, keepdims=True), np.ones(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, rounds, 0.5)
    cv2.setRNGSeed(0)
    start = np.zeros((len(rows), 1), np.int32)
    _, labels, centres = cv2.kmeans(rows, count, start, criteria, 1, cv2.KMEANS_PP_CENTERS)
    return cast(NDArray[np.float32], centres), np.bincount(labels.ravel(), minlength=count) / len(rows)


def memberships(pixels: NDArray[np.float32], centres: NDArray[np.float32], spread: float) -> NDArray[np.float32]:
    """(n, k) shares, each row summing to 1: how much of each of `pixels` (n, 3) belongs to each of `centres` (k, 3).

    Gaussians of one width, `spread`, in the units of the pixels: a soft histogram has no jumps at cluster borders.
    """
    squared = (pixels**2).sum(axis=1)[:, None] - 2 * pixels @ centres.T + (centres**2).sum(axis=1)[None]
    shares = np.exp((squared.min(axis=1, keepdims=True) - squared) / (2 * spread**2))
    return cast(NDArray[np.float32], (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32))
